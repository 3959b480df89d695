"""A worker that is cut off from the network comes back by itself, wherever it is put."""

import unittest

from support import engine
from support.case import SharedMesh
from support.mesh import BOOKS
from support.waiting import until
from support.writers import Writers

FAILOVER_WITHIN = 30


class NetworkCut(SharedMesh):
    """`docker network disconnect` and `connect`, while writers go on."""

    def cut(self, worker: str, elsewhere: bool = False) -> None:
        """Cuts a worker off until the others see it gone, and connects it again."""
        peer = self.mesh.peer(worker)
        was = self.mesh.address(worker)
        with Writers(self.mesh.gateway) as writers:
            until("some writes", lambda: writers.count() > 20, 60)
            engine.docker("network", "disconnect", self.mesh.network(), worker)
            if elsewhere:
                self.addCleanup(self.mesh.squat(was))
            before = writers.count()
            goes_on = lambda: writers.count() > before + 50
            until("writes go on without it", goes_on, FAILOVER_WITHIN)
            gone = lambda: peer not in [m["peer_id"] for m in self.mesh.gateway.voters(BOOKS)]
            until("the others see that it is gone", gone, 60)
            engine.docker("network", "connect", self.mesh.network(), worker)
            if elsewhere:
                self.assertNotEqual(self.mesh.address(worker), was)
            self.mesh.settle()
        writers.check()
        members = self.mesh.gateway.rack(BOOKS)["members"]
        self.assertIn(peer, [member["peer_id"] for member in members])

    def test_a_follower(self) -> None:
        leader = self.mesh.leader()
        self.cut(next(name for name in self.mesh.containers("wrk-book") if name != leader))

    def test_the_leader(self) -> None:
        self.cut(self.mesh.leader())

    def test_a_worker_that_comes_back_at_another_address(self) -> None:
        self.cut(self.mesh.leader(), elsewhere=True)


if __name__ == "__main__":
    unittest.main()
