"""`scripts/image.sh` makes no image of a binary that could not start in it. With stand-ins for the
toolchain and the engine."""

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What the script itself is made of; nothing else is there but stand-ins.
PLAIN = ("bash", "env", "basename", "chmod", "cut", "dirname", "grep", "install", "mkdir", "mktemp",
         "realpath", "rm", "tr", "uname")
BUILD = """mkdir -p "$CARGO_TARGET_DIR/$(uname -m)-unknown-linux-gnu/release"
cd "$CARGO_TARGET_DIR/$(uname -m)-unknown-linux-gnu/release"
printf '#!/bin/sh\\necho bookmesh 1.2.3\\n' >bookmesh
chmod +x bookmesh"""
ENGINE = """case "$1" in
image) echo 8388608 ;;
build) echo "$*" >>"$CARGO_TARGET_DIR/built" ;;
esac"""


class Image(unittest.TestCase):
    def setUp(self) -> None:
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.target = Path(held.name) / "target"
        self.bin = Path(held.name) / "bin"
        self.bin.mkdir()
        for name in PLAIN:
            program = shutil.which(name)
            assert program, name
            (self.bin / name).symlink_to(program)
        self.add("cargo", BUILD)
        self.add("docker", ENGINE)
        self.add("git", "echo 0123456789abcdef")

    def add(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def make(self) -> subprocess.CompletedProcess[str]:
        env = {"PATH": str(self.bin), "CARGO_TARGET_DIR": str(self.target), "HOME": os.devnull}
        return subprocess.run(
            [ROOT / "scripts/image.sh"], env=env, capture_output=True, text=True, timeout=60,
        )

    def assert_not_made(self, reason: str) -> None:
        ran = self.make()
        self.assertNotEqual(ran.returncode, 0, ran.stdout)
        self.assertIn(reason, ran.stderr)
        self.assertFalse((self.target / "built").exists(), "an image was made")

    def test_a_static_binary_is_made_one(self) -> None:
        self.add("readelf", "echo '  LOAD           0x000000'")
        ran = self.make()
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertIn("bookmesh:dev: 8 MiB, version 1.2.3, revision 0123456789ab", ran.stdout)
        self.assertTrue((self.target / "built").exists())

    def test_one_that_names_a_loader_is_not(self) -> None:
        self.add("readelf", "echo '  INTERP         0x000318'")
        self.assert_not_made("is not static")

    def test_nor_one_of_which_nobody_can_tell(self) -> None:
        self.assert_not_made("no readelf")
        self.add("readelf", "echo 'Error: Not an ELF file' >&2\nexit 1")
        self.assert_not_made("Not an ELF file")


if __name__ == "__main__":
    unittest.main()
