"""Containers may start in any order, and late: nobody waits for more than what it needs."""

import unittest

from support import engine
from support.case import SharedMesh, tell_on_failure
from support.mesh import BOOKS, FIRST_WRITE_WITHIN, Mesh
from support.waiting import until


class AnyOrder(unittest.TestCase):
    """A mesh whose containers are all made, and started one by one."""

    def setUp(self) -> None:
        self.mesh = Mesh()
        self.addCleanup(self.mesh.end)
        self.mesh.compose("up", "--no-start", "--scale", "wrk-book=3")

    def tearDown(self) -> None:
        tell_on_failure(self, self.mesh)

    def start(self, *containers: str) -> None:
        engine.docker("start", *containers)

    def is_running(self, container: str) -> bool:
        state = engine.inspect(container)["State"]
        return state["Running"] and state["ExitCode"] == 0 and state["Restarting"] is False

    def test_the_orchestrator_is_last_and_one_worker_hangs_as_it_starts(self) -> None:
        mesh = self.mesh
        first, second, slow = mesh.containers("wrk-book")
        early = [*mesh.containers("app-node"), first, second, *mesh.containers("wrk-order")]
        self.start(*early)
        alive = lambda: mesh.gateway.send("GET", "/live").status == 200
        until("the gateway answers without anybody else", alive, 30)
        answer = mesh.gateway.register("Too early", "too-early")
        self.assertEqual(answer.status, 503, "it says that there is no rack yet")
        self.assertIn(b"ERR_RACK_UNAVAILABLE", answer.body)

        # Nobody has found the name of the orchestrator so far, and the slow one hangs.
        self.start(slow)
        engine.docker("pause", slow)
        self.start(*mesh.containers("wrk-ork"))
        mesh.first_write(deadline=FIRST_WRITE_WITHIN)
        until("two voters", lambda: len(mesh.gateway.voters(BOOKS)) == 2, 60)
        self.assertTrue(all(self.is_running(name) for name in early), "nobody gave up")

        engine.docker("unpause", slow)
        mesh.settle()
        mesh.first_write()


class TheOrchestratorMoves(SharedMesh):
    """The orchestrator's container is made anew and gets another address."""

    def test_it_is_found_again_by_its_name(self) -> None:
        mesh = self.mesh
        [ork] = mesh.containers("wrk-ork")
        was, peer = mesh.address(ork), mesh.peer(ork)
        mesh.compose("rm", "--stop", "--force", "wrk-ork")
        self.addCleanup(mesh.squat(was))
        mesh.up()
        [ork] = mesh.containers("wrk-ork")
        self.assertNotEqual(mesh.address(ork), was)
        until("it is ready", lambda: mesh.peer(ork) == peer, 30)
        nodes = lambda: {node["peer_id"] for node in mesh.gateway.get("/nodes")}
        # It remembers nobody: these have found it at its new address, and told it.
        until("all nodes announce to it", lambda: len(nodes()) == 6, 30)
        mesh.first_write()


if __name__ == "__main__":
    unittest.main()
