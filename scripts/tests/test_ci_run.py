"""What `.ci/run` does to a machine: what it installs, and whose its files are. With stand-ins for
the programs that would change this one."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What `.ci/run` itself is made of; nothing else is there but stand-ins.
PLAIN = ("bash", "env", "cat", "cut", "dirname", "find", "id", "mkdir", "mktemp", "realpath", "sed",
         "sort")
# Nobody in particular, for a test that root runs.
USER = 65532


class Machine:
    """A copy of `.ci/run` on a machine that has what it is given."""

    def __init__(self, case: unittest.TestCase) -> None:
        directory = tempfile.TemporaryDirectory()
        case.addCleanup(directory.cleanup)
        self.dir = Path(directory.name)
        self.bin, self.home, self.tree = (self.dir / name for name in ("bin", "home", "tree"))
        for path in (self.bin, self.home, self.tree / ".ci"):
            path.mkdir(parents=True)
        shutil.copy(ROOT / ".ci/run", self.tree / ".ci/run")
        (self.tree / "Cargo.toml").write_text('rust-version = "1.95"\n')
        (self.dir / "log").touch()
        self.env = {"PATH": str(self.bin), "HOME": str(self.home), "TMPDIR": str(self.dir)}
        for name in PLAIN:
            program = shutil.which(name)
            assert program, name
            (self.bin / name).symlink_to(program)
        self.add("rustc", "echo rustc 1.97.0")
        self.add("cargo", "exit 0")

    def add(self, name: str, script: str) -> None:
        """A program that notes how it was called, and does no more than the script."""
        path = self.bin / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.dir}/log"\n{script}\n')
        path.chmod(0o755)

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        user = None
        if os.geteuid() == 0:
            user = USER
            for path in (self.dir, *self.dir.rglob("*")):
                os.chown(path, USER, USER, follow_symlinks=False)
        return subprocess.run(
            [".ci/run", *arguments], cwd=self.tree, user=user, group=user,
            extra_groups=None if user is None else [], text=True, capture_output=True,
            env=self.env | env, timeout=60, check=False,
        )

    def calls(self, name: str) -> list[str]:
        lines = (self.dir / "log").read_text().splitlines()
        return [line for line in lines if line.split()[0] == name]


class AsRoot(unittest.TestCase):
    def setUp(self) -> None:
        self.machine = Machine(self)
        # As if it were: what it is told is done, by the same user.
        self.machine.add("sudo", '[ "$1" = --preserve-env ] && shift\nexec "$@"')

    def given_back(self) -> list[str]:
        """The directories that were looked through for what is root's."""
        found = [call for call in self.machine.calls("sudo") if " find " in call]
        self.assertEqual(len(found), 1, "not once")
        command = found[0].split(" find ")[1]
        owner = f"{USER}:{USER}" if os.geteuid() == 0 else f"{os.getuid()}:{os.getgid()}"
        before, chown = command.split(" -xdev -user root -exec ")
        self.assertEqual(chown, f"chown --no-dereference {owner} {{}} +")
        return before.split()

    def test_what_root_made_is_given_back(self) -> None:
        (self.machine.home / ".cargo").mkdir()
        ran = self.machine.run("--as-root", "format")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("==> format: ok", ran.stdout)
        tree, home = self.machine.tree, self.machine.home
        self.assertEqual(self.given_back(), [f"{tree}/target", f"{home}/.cargo"])

    def test_also_after_a_failure_whose_status_stays(self) -> None:
        self.machine.add("cargo", "exit 101")
        ran = self.machine.run("--as-root", "format")
        self.assertEqual(ran.returncode, 101, ran.stderr)
        self.assertEqual(self.given_back(), [f"{self.machine.tree}/target"])

    def test_what_is_roots_for_the_whole_machine_stays_so(self) -> None:
        ran = self.machine.run("--as-root", "format", CARGO_HOME="/usr", RUSTUP_HOME="/usr")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.given_back(), [f"{self.machine.tree}/target"])


class Tools(unittest.TestCase):
    def setUp(self) -> None:
        self.machine = Machine(self)
        # Nothing of this machine is written, and no daemon of it started.
        self.machine.add("sudo", 'exec "$@"')
        self.machine.add("install", "cat >/dev/null")
        self.machine.add("rm", "")
        self.machine.add("apt-get", (
            f'[ "$1" = update ] && touch "{self.machine.dir}/updated"\n'
            f"ln -sf /bin/true {self.machine.bin}/docker\nexit 0"
        ))
        for name in ("touch", "ln"):
            program = shutil.which(name)
            assert program, name
            (self.machine.bin / name).symlink_to(program)

    def know(self, *packages: str) -> None:
        """The packages that apt knows, once it has looked."""
        self.machine.add("apt-cache", (
            f'[ -e "{self.machine.dir}/updated" ] || exit 100\n'
            f'case " {" ".join(packages)} " in *" $2 "*) exit 0 ;; esac\nexit 100'
        ))

    def installed(self, *parts: str) -> list[str]:
        ran = self.machine.run("tools", *parts)
        calls = [call for call in self.machine.calls("apt-get") if " install " in call]
        self.assertEqual(len(calls), 1, ran.stdout + ran.stderr)
        return [word for word in calls[0].split()[2:] if not word.startswith("-")]

    def test_what_builds_gets_something_to_link_with(self) -> None:
        self.know()
        for part in ("lint", "documentation", "test", "schemathesis", "image", "containers",
                     "monitoring", "edge"):
            with self.subTest(part):
                machine = self.machine
                (machine.dir / "log").write_text("")
                (machine.bin / "docker").unlink(missing_ok=True)
                self.assertLessEqual({"gcc", "libc6-dev"}, set(self.installed(part)))

    def test_a_compiler_that_links_is_enough(self) -> None:
        self.know()
        self.machine.add("cc", "exit 0")
        self.assertNotIn("gcc", self.installed("image"))
        self.machine.add("cc", "exit 1")
        (self.machine.bin / "docker").unlink()
        (self.machine.dir / "log").write_text("")
        self.assertIn("gcc", self.installed("image"))

    def test_commands_that_newer_systems_keep_apart_come_along(self) -> None:
        self.know()
        without = self.installed("image", "monitoring")
        self.assertIn("docker.io", without)
        self.assertNotIn("docker-cli", without)
        self.assertNotIn("promtool", without)
        (self.machine.bin / "docker").unlink()
        (self.machine.dir / "log").write_text("")
        (self.machine.dir / "updated").unlink()
        self.know("docker-cli", "promtool")
        packages = self.installed("image", "monitoring")
        self.assertEqual(sorted(packages), sorted([*without, "docker-cli", "promtool"]))


class Rust(unittest.TestCase):
    def setUp(self) -> None:
        self.machine = Machine(self)

    def rustup(self, *there: str) -> None:
        """A rustup that has these toolchains."""
        self.machine.add("rustup", (
            '[ "$1" = which ] || exit 0\n'
            f'case " {" ".join(there)} " in *" $3 "*) exit 0 ;; esac\nexit 1'
        ))

    def asked(self) -> list[str]:
        return [call for call in self.machine.calls("rustup") if " which " not in call]

    def test_the_toolchain_that_is_named_is_installed(self) -> None:
        self.rustup()
        ran = self.machine.run("rust", RUSTUP_TOOLCHAIN="1.95")
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(self.asked(), [
            "rustup toolchain install 1.95 --profile minimal --component clippy,rustfmt"
        ])

    def test_one_that_is_there_is_left_alone(self) -> None:
        self.rustup("1.95")
        ran = self.machine.run("rust", RUSTUP_TOOLCHAIN="1.95")
        self.assertEqual((ran.returncode, self.asked()), (0, []), ran.stderr)

    def test_one_that_is_too_old_is_not_replaced_by_another(self) -> None:
        self.rustup("1.80")
        self.machine.add("rustc", "echo rustc 1.80.1")
        ran = self.machine.run("rust", RUSTUP_TOOLCHAIN="1.80")
        self.assertEqual((ran.returncode, self.asked()), (1, []), ran.stderr)
        self.assertIn("this needs Rust 1.95, and here is 1.80.1", ran.stderr)

    def test_rustups_own_choice_is_enough_without_a_name(self) -> None:
        self.rustup()
        self.assertEqual(self.machine.run("rust").returncode, 0)
        self.assertEqual(self.asked(), [])
        self.machine.add("rustc", "echo rustc 1.80.1")
        self.assertEqual(self.machine.run("rust").returncode, 0)
        self.assertEqual(self.asked()[-1], "rustup default stable")

    def test_a_machine_without_rustup_builds_with_what_it_has(self) -> None:
        ran = self.machine.run("rust", RUSTUP_TOOLCHAIN="1.95")
        self.assertEqual(ran.returncode, 0, ran.stderr)


if __name__ == "__main__":
    unittest.main()
