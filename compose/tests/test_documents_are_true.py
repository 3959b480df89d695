"""The commands of the documents on containers are run as they stand, one after the other."""

import re
import subprocess
import unittest

from support import engine
from support.case import tell_on_failure
from support.mesh import Mesh

ROOT = engine.COMPOSE_DIR.parent
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# More than any of them takes.
DEADLINE = 300


def commands(text: str) -> list[str]:
    """What stands behind `$ ` in blocks of console, with lines that go on."""
    found: list[str] = []
    for block in BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(line[2:])
            elif found and found[-1].endswith("\\"):
                found[-1] += "\n" + line
    return found


def section(text: str, title: str) -> str:
    """A section of a document, up to the next of its rank."""
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


class Documents(unittest.TestCase):
    """Each document on a mesh of its own, that begins with nothing."""

    def follow(self, text: str) -> None:
        """Runs the commands of a text in one shell, as somebody who follows it does."""
        mesh = Mesh()
        self.addCleanup(mesh.end)
        self.addCleanup(tell_on_failure, self, mesh)
        lines = commands(text)
        self.assertGreater(len(lines), 2, "nothing to follow")
        compose = " ".join(engine.compose_command())
        script = "set -euxo pipefail\n" + "\n".join(lines)
        script = script.replace("docker compose", compose)
        script = script.replace("127.0.0.1:3000", f"127.0.0.1:{mesh.port}")
        done = subprocess.run(
            ["bash", "-c", script], cwd=ROOT, env=mesh.env, timeout=DEADLINE, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_the_readme(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        self.follow(section(text, "In containers"))

    def test_run(self) -> None:
        self.follow((ROOT / "docs/run.md").read_text(encoding="utf-8"))

    def test_scale(self) -> None:
        self.follow((ROOT / "docs/scale.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
