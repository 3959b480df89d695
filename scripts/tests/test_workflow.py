"""The workflow runs what `.ci/run` runs: each step can be run anywhere, and none is left out."""

import re
import shlex
import subprocess
import tomllib
import unittest
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
PARTS = subprocess.run(
    [".ci/run", "--list"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split()


def jobs() -> dict[str, Any]:
    found = {}
    for path in WORKFLOWS:
        for name, job in YAML(typ="safe").load(path)["jobs"].items():
            found[f"{path.name}: {name}"] = job
    return found


def runs() -> list[tuple[str, str]]:
    return [
        (name, step["run"].strip())
        for name, job in jobs().items()
        for step in job["steps"]
        if "run" in step
    ]


class Workflow(unittest.TestCase):
    def test_every_step_is_a_script_of_this_tree(self) -> None:
        self.assertTrue(runs(), "no step runs anything")
        for job, run in runs():
            with self.subTest(job=job, run=run):
                self.assertNotIn("\n", run, "more than one line belongs into a script")
                # What a branch is named must not become a part of a command.
                self.assertNotIn("${{", run, "values come through env")
                self.assertIsNone(re.search(r"[;&|<>`]|\$\(", run), "a plain command")
                script, *arguments = shlex.split(run)
                path = ROOT / script
                self.assertTrue(path.is_file(), f"{script} is not there")
                self.assertTrue(path.stat().st_mode & 0o100, f"{script} is not executable")
                if script == ".ci/run":
                    arguments = [a for a in arguments if a != "--as-root"]
                    self.assertTrue(arguments, "a job names its parts")
                    self.assertEqual([a for a in arguments if a not in PARTS], [])
                else:
                    self.assertEqual(path.parent, ROOT / "scripts")

    def test_every_part_is_run_by_one_job(self) -> None:
        ran: dict[str, list[str]] = {part: [] for part in PARTS}
        for job, run in runs():
            script, *parts = shlex.split(run)
            if script == ".ci/run":
                if parts != ["rust"]:
                    self.assertIn("tools", parts, f"{job} does not install what it needs")
                for part in parts:
                    if part != "--as-root":
                        ran[part].append(job)
        # What others need.
        del ran["tools"], ran["rust"]
        for part, by in ran.items():
            self.assertEqual(len(by), 1, f"{part} is run by {by}")

    def test_all_builds_are_with_the_workspaces_toolchain(self) -> None:
        manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
        wanted = manifest["workspace"]["package"]["rust-version"]
        for path in WORKFLOWS:
            env = YAML(typ="safe").load(path)["env"]
            self.assertEqual(env["RUSTUP_TOOLCHAIN"], wanted, path.name)
        cached = 0
        for name, job in jobs().items():
            self.assertNotIn("RUSTUP_TOOLCHAIN", job.get("env", {}), name)
            for number, step in enumerate(job["steps"]):
                self.assertNotIn("RUSTUP_TOOLCHAIN", step.get("env", {}), name)
                if step.get("uses", "").startswith("Swatinem/rust-cache@"):
                    before = [earlier.get("run") for earlier in job["steps"][:number]]
                    self.assertIn(".ci/run rust", before, f"{name} looks before it is there")
                    cached += 1
        self.assertEqual(cached, 3)

    def test_every_image_is_started_before_it_is_noted(self) -> None:
        steps = jobs()["ci.yml: image"]["steps"]
        runs = [step.get("run", "").split(" ") for step in steps]
        names = [words[1] if len(words) > 1 else "" for words in runs]
        built = [step.get("id") for step in steps].index("build")
        tried, noted = names.index("try"), names.index("note")
        self.assertTrue(built < tried < noted, names)
        # For pull requests, too, which push nothing: so it is the engine's then.
        self.assertNotIn("if", steps[tried])
        self.assertIn("format('type=docker,name={0}',", steps[built]["with"]["outputs"])

    def test_nothing_is_published_before_everything_has_passed(self) -> None:
        everything = jobs()
        publish = everything.pop("ci.yml: publish")
        self.assertEqual(
            sorted(publish["needs"]),
            sorted(name.removeprefix("ci.yml: ") for name in everything),
        )
        self.assertEqual(publish["if"], "github.event_name == 'push'")

    def test_rights_are_the_least(self) -> None:
        for path in WORKFLOWS:
            top = YAML(typ="safe").load(path)
            self.assertEqual(top["permissions"], {"contents": "read"})
            self.assertIn("concurrency", top)
        for name, job in jobs().items():
            if name.split(": ")[1] not in ("image", "publish"):
                self.assertNotIn("permissions", job, f"{name} needs to read only")
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    self.assertIs(step["with"]["persist-credentials"], False, name)

    def test_actions_are_pinned(self) -> None:
        for name, job in jobs().items():
            for step in job["steps"]:
                if "uses" in step:
                    with self.subTest(job=name):
                        self.assertRegex(step["uses"], r"^[\w.-]+/[\w./-]+@(v\d+|[0-9a-f]{40})$")

    def test_files_that_steps_name_are_there(self) -> None:
        for name, job in jobs().items():
            for step in job["steps"]:
                file = step.get("with", {}).get("file")
                if file:
                    self.assertTrue((ROOT / file).is_file(), f"{name}: {file} is not there")


class Run(unittest.TestCase):
    def run_parts(self, *parts: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([".ci/run", *parts], cwd=ROOT, capture_output=True, text=True)

    def test_unknown_parts_are_refused_with_the_list(self) -> None:
        for names in (["formt"], ["format", "formt"], ["tools format"], [""]):
            ran = self.run_parts(*names)
            self.assertEqual(ran.returncode, 2, names)
            self.assertIn(" ".join(PARTS), ran.stderr)
            self.assertEqual(ran.stdout, "", "nothing ran")

    def test_named_parts_run_alone(self) -> None:
        ran = self.run_parts("format")
        steps = re.findall(r"^==> (\w+): ok", ran.stdout, re.MULTILINE)
        self.assertEqual((ran.returncode, steps), (0, ["format"]), ran.stderr)

    def test_every_part_has_its_script(self) -> None:
        for part in PARTS:
            if part not in ("rust", "tools", "format", "lint", "documentation", "test"):
                self.assertTrue((ROOT / f"scripts/{part}.sh").is_file(), part)


if __name__ == "__main__":
    unittest.main()
