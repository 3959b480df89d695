"""The commands of the documents on containers are run as they stand, one after the other."""

import unittest

from support import engine
from support.case import tell_on_failure
from support.documents import commands, part
from support.mesh import Mesh

ROOT = engine.COMPOSE_DIR.parent
# More than any of them takes.
DEADLINE = 300


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
        engine.run("bash", "-c", script, cwd=ROOT, env=mesh.env, deadline=DEADLINE)

    def test_the_readme(self) -> None:
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        self.follow(part(text, "In containers"))

    def test_run(self) -> None:
        self.follow((ROOT / "docs/run.md").read_text(encoding="utf-8"))

    def test_scale(self) -> None:
        self.follow((ROOT / "docs/scale.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
