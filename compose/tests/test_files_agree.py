"""Files that say the same things say them alike. Needs no engine."""

import re
import tomllib
import unittest

from support.engine import COMPOSE_DIR

ROOT = COMPOSE_DIR.parent
# `${NAME:-default}`: every variable has a default, so that nothing has to be set.
VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)(:-([^}]*))?\}")


def read(name: str) -> str:
    """A file beside the Compose file."""
    return (COMPOSE_DIR / name).read_text(encoding="utf-8")


def variables(name: str) -> list[tuple[str, str, str]]:
    """The variables of a Compose file, comments left out: name, `:-default`, default."""
    lines = [line for line in read(name).splitlines() if not line.strip().startswith("#")]
    return VARIABLE.findall("\n".join(lines))


def last_stage(dockerfile: str) -> str:
    """From the last FROM on, with files copied from beside it."""
    stage = dockerfile[dockerfile.rindex("\nFROM scratch") :]
    return stage.replace("--from=build ", "").replace("/image/", "")


class FilesAgree(unittest.TestCase):
    """Compose files and their variables, and the two ways to make the image."""

    def test_every_variable_is_explained_with_its_default(self) -> None:
        # Compose's own: a mesh that began without it must not become another one by its default.
        used = {"COMPOSE_PROJECT_NAME": COMPOSE_DIR.name}
        for name in ("compose.yaml", "compose.dev.yaml"):
            for variable, has_default, default in variables(name):
                self.assertTrue(has_default, f"{name}: {variable} has no default")
                used.setdefault(variable, default)
                if name == "compose.yaml":
                    self.assertEqual(used[variable], default, f"{variable} has two defaults")
        explained: dict[str, str] = {}
        comment = ""
        for line in read(".env.example").splitlines():
            if line.startswith("#"):
                comment = line
            elif not line:
                # What stands below a comment belongs to it, up to the next gap.
                comment = ""
            else:
                variable, default = line.split("=", 1)
                self.assertTrue(comment, f"{variable} is not explained")
                self.assertNotIn(variable, explained)
                explained[variable] = default
        self.assertEqual(explained, used)

    def test_both_images_are_the_same(self) -> None:
        built, prebuilt = read("Dockerfile"), read("Dockerfile.prebuilt")
        self.assertEqual(last_stage(built), last_stage(prebuilt))

    def test_the_image_has_the_version_and_the_toolchain_of_the_workspace(self) -> None:
        manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
        package = manifest["workspace"]["package"]
        built = read("Dockerfile")
        self.assertIn(f"ARG VERSION={package['version']}\n", built)
        self.assertIn(f"FROM rust:{package['rust-version']}-slim-bookworm AS rust\n", built)

    def test_every_test_is_run_by_a_script(self) -> None:
        scripts = [path.read_text(encoding="utf-8") for path in (ROOT / "scripts").glob("*.sh")]
        for test in (COMPOSE_DIR / "tests").glob("test_*.py"):
            # By its name, or by a pattern that has its first words.
            words = test.stem.split("_")
            patterns = ["_".join(words[:count]) + "_*" for count in range(2, len(words))]
            named = [*patterns, test.stem]
            run = any(name in text for name in named for text in scripts)
            self.assertTrue(run, f"{test.name} is run by no script")

    def test_every_member_of_the_workspace_is_in_the_context(self) -> None:
        manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
        ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        for member in manifest["workspace"]["members"]:
            self.assertIn(f"!{member}", ignored)


if __name__ == "__main__":
    unittest.main()
