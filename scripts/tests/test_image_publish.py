"""Images get the tags of their branch, and both processors become one image."""

import os
import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1]
SHA = "0123456789abcdef0123456789abcdef01234567"
AMD64 = "a" * 64
ARM64 = "b" * 64
# Stands for docker: says what it was called with, or the version of an image that it knows.
FAKE_DOCKER = """#!/bin/sh
case "$*" in
"run --rm --read-only --cap-drop ALL --network none good --version") echo bookmesh 1.2.3 ;;
"run "*" other --version") echo BusyBox v1.2.3 ;;
"run "*) echo exec format error >&2; exit 1 ;;
*) echo "docker $*" ;;
esac
"""


class Tags(unittest.TestCase):
    def tags(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPTS / "image_tags.sh", *arguments], capture_output=True, text=True
        )

    def test_tags_by_branch(self) -> None:
        for branch, tags in {
            "main": ["latest", SHA],
            "dev": ["development", f"dev-{SHA}"],
            "feature": [f"alpha-{SHA}"],
            "feature/main": [f"alpha-{SHA}"],
            "fix/a/b": [f"alpha-{SHA}"],
            "main/dev": [f"alpha-{SHA}"],
            "development": [f"alpha-{SHA}"],
            "Main": [f"alpha-{SHA}"],
            "-n": [f"alpha-{SHA}"],
            "$(id)": [f"alpha-{SHA}"],
        }.items():
            with self.subTest(branch=branch):
                self.assertEqual(self.tags(branch, SHA).stdout.split("\n"), [*tags, ""])

    def test_what_is_no_commit_is_refused(self) -> None:
        for arguments in (["main"], ["", SHA], ["main", ""], ["main", "HEAD"], ["main", SHA, "x"]):
            with self.subTest(arguments=arguments):
                ran = self.tags(*arguments)
                self.assertEqual((ran.returncode, ran.stdout), (2, ""))
                self.assertIn("usage", ran.stderr)


class Publish(unittest.TestCase):
    def setUp(self) -> None:
        held = tempfile.TemporaryDirectory()
        self.addCleanup(held.cleanup)
        self.dir = Path(held.name)
        docker = self.dir / "bin/docker"
        docker.parent.mkdir()
        docker.write_text(FAKE_DOCKER)
        docker.chmod(0o755)
        self.env = os.environ | {
            "PATH": f"{docker.parent}:{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(self.dir / "output"),
        }

    def publish(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPTS / "image_publish.sh", *arguments],
            capture_output=True, text=True, env=self.env, cwd=self.dir,
        )

    def test_names_are_of_small_letters(self) -> None:
        self.assertEqual(self.publish("name", "Some/BookMesh").returncode, 0)
        self.assertEqual((self.dir / "output").read_text(), "name=ghcr.io/some/bookmesh\n")

    def test_what_was_pushed_is_joined_under_the_branchs_tags(self) -> None:
        for digest in (AMD64, ARM64):
            self.assertEqual(self.publish("note", "digests", f"sha256:{digest}").returncode, 0)
        image = "ghcr.io/some/bookmesh"
        ran = self.publish("join", "digests", image, "dev", SHA)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertEqual(
            ran.stdout.splitlines(),
            [
                f"docker buildx imagetools create --tag {image}:development"
                f" --tag {image}:dev-{SHA} {image}@sha256:{AMD64} {image}@sha256:{ARM64}",
                f"docker buildx imagetools inspect {image}:development",
            ],
        )

    def test_an_image_that_does_not_start_is_found(self) -> None:
        ran = self.publish("try", "good")
        self.assertEqual((ran.returncode, ran.stdout), (0, "good is bookmesh 1.2.3\n"), ran.stderr)
        for image in ("bad", "other"):
            self.assertEqual(self.publish("try", image).returncode, 1, image)

    def test_half_an_image_is_not_published(self) -> None:
        self.publish("note", "digests", f"sha256:{AMD64}")
        ran = self.publish("join", "digests", "image", "main", SHA)
        self.assertEqual((ran.returncode, ran.stdout), (1, ""))
        self.assertIn("amd64 and arm64", ran.stderr)

    def test_faults_are_told(self) -> None:
        for arguments in (["note", "digests", ""], ["join", "none", "image", "main", SHA]):
            self.assertEqual(self.publish(*arguments).returncode, 1, arguments)
        for digest in (AMD64, ARM64):
            self.publish("note", "digests", f"sha256:{digest}")
        ran = self.publish("join", "digests", "image", "main", "no sha")
        self.assertNotEqual(ran.returncode, 0)
        self.assertEqual(ran.stdout, "", "tags that can't be made are not pushed")


if __name__ == "__main__":
    unittest.main()
