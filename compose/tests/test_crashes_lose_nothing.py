"""What is killed comes back with everything that was acknowledged."""

import unittest

from support import engine
from support.case import SharedMesh
from support.mesh import ORDERS
from support.waiting import until
from support.writers import Writers

# What a rack may take to elect another leader, on a busy machine.
FAILOVER_WITHIN = 30


def started(container: str) -> str:
    """When a container was started last."""
    return engine.inspect(container)["State"]["StartedAt"]


class Crashes(SharedMesh):
    """Containers are killed in all ways while writers go on."""

    def go_on(self, writers: Writers, what: str) -> None:
        """Writes are acknowledged again."""
        before = writers.count()
        until(f"writes go on {what}", lambda: writers.count() > before + 20, FAILOVER_WITHIN)

    def test_a_killed_leader_is_done_without_and_comes_back_with_up(self) -> None:
        with Writers(self.mesh.gateway) as writers:
            self.go_on(writers, "before anything happens")
            leader = self.mesh.leader()
            engine.docker("kill", leader)
            self.go_on(writers, "without the leader")
            # The engine takes this for a wish of its user, and starts nothing again by itself.
            self.assertFalse(engine.inspect(leader)["State"]["Running"])
            self.mesh.up()
            self.mesh.settle()
        kept = writers.check()
        print(f"a killed leader: {kept} writes, the longest pause {writers.longest_pause:.1f} s")

    def test_a_killed_orchestrator_holds_up_nobody(self) -> None:
        [ork] = self.mesh.containers("wrk-ork")
        with Writers(self.mesh.gateway) as writers:
            self.go_on(writers, "before anything happens")
            engine.docker("kill", ork)
            self.go_on(writers, "without the orchestrator")
            self.mesh.up()
            self.go_on(writers, "with the orchestrator")
        writers.check()
        peer = self.mesh.peer(ork)
        nodes = lambda: {node["peer_id"] for node in self.mesh.gateway.get("/nodes")}
        until("all nodes announce to it", lambda: len(nodes()) == 6 and peer in nodes(), 60)

    def test_what_crashes_is_started_again_by_the_engine(self) -> None:
        victims = [self.mesh.leader(), *self.mesh.containers("wrk-ork")]
        before = {name: started(name) for name in victims}
        with Writers(self.mesh.gateway) as writers:
            self.go_on(writers, "before anything happens")
            for victim in victims:
                engine.crash(victim)
                self.go_on(writers, f"after {victim} crashed")
                until(f"{victim} runs again", lambda: started(victim) != before[victim], 60)
            self.mesh.settle()
        writers.check()

    def test_down_and_up_keeps_everything(self) -> None:
        with Writers(self.mesh.gateway) as writers:
            until("some writes", lambda: writers.count() > 100, 60)
        kept = writers.check()
        self.mesh.compose("down")
        self.assertEqual(self.mesh.all_containers(), [])
        self.mesh.up()
        self.mesh.settle()
        self.assertEqual(writers.check(), kept)
        for rack in (None, ORDERS):
            said = self.mesh.verify(rack) if rack else self.mesh.verify()
            self.assertIn("verified", said)
        self.mesh.first_write()


if __name__ == "__main__":
    unittest.main()
