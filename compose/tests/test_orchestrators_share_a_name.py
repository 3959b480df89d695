"""Three orchestrators behind one name, which leads each of them to itself as well."""

import unittest

from support import engine
from support.case import tell_on_failure
from support.mesh import FIRST_WRITE_WITHIN, Mesh
from support.waiting import until


class Orchestrators(unittest.TestCase):
    """`ORK_REPLICAS=3`, and nothing else."""

    def setUp(self) -> None:
        self.mesh = Mesh(variables={"ORK_REPLICAS": "3"})
        self.addCleanup(self.mesh.end)

    def tearDown(self) -> None:
        tell_on_failure(self, self.mesh)

    def orchestrators(self) -> set[str]:
        """Those that the gateway's orchestrator has heard of."""
        nodes = self.mesh.gateway.get("/nodes")
        return {node["peer_id"] for node in nodes if node["role"] == "ork"}

    def test_they_meet_and_outlive_one(self) -> None:
        mesh = self.mesh
        mesh.compose("up", "-d")
        mesh.first_write(FIRST_WRITE_WITHIN)
        containers = mesh.containers("wrk-ork")
        self.assertEqual(len(containers), 3)
        until("all three are one registry", lambda: len(self.orchestrators()) == 3, 60)

        engine.docker("kill", containers[0])
        # A rack that nobody has heard of wants the registry, whoever leads it.
        rack = ("run", "-d", "-e", "RACK_ID=book-rack-002", "wrk-book")
        mesh.compose(*rack, "worker", "--type", "book")
        led = lambda: mesh.gateway.rack("book-rack-002")["leader"]
        until("a new rack is registered by the other two", led, 60)


if __name__ == "__main__":
    unittest.main()
