"""What tests with containers have in common."""

import sys
import unittest

from .mesh import Mesh, shared


class SharedMesh(unittest.TestCase):
    """A test with the shared mesh, which it finds with three voters and leaves so."""

    mesh: Mesh

    @classmethod
    def setUpClass(cls) -> None:
        cls.mesh = shared()

    def setUp(self) -> None:
        self.mesh.up()
        self.mesh.settle()

    def tearDown(self) -> None:
        tell_on_failure(self, self.mesh)


def tell_on_failure(case: unittest.TestCase, mesh: Mesh) -> None:
    """Shows the end of the containers' logs when a test has failed."""
    result = case._outcome.result  # type: ignore[attr-defined]
    failed = [test for test, _ in result.failures + result.errors]
    if case in failed or sys.exc_info()[0]:
        print(f"--- the mesh of {case.id()}\n{mesh.logs()}", file=sys.stderr)
