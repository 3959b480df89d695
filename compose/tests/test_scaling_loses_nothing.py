"""`up -d --scale wrk-book=3` from nothing, down to one and up again: one rack, and every write."""

import unittest

from support import engine
from support.case import SharedMesh
from support.mesh import BOOKS, FIRST_WRITE_WITHIN
from support.waiting import until
from support.writers import Writers


class Scaling(SharedMesh):
    """Workers of one service are one rack, whatever their number."""

    def test_the_first_write_is_accepted_soon(self) -> None:
        first = self.mesh.first_write_s
        print(f"up to the first accepted write: {first:.1f} s")
        self.assertLess(first, FIRST_WRITE_WITHIN)

    def test_replicas_with_one_configuration_and_one_volume_are_one_rack(self) -> None:
        workers = [engine.inspect(name) for name in self.mesh.containers("wrk-book")]
        self.assertEqual(len(workers), 3)
        for what in ("Env", "Cmd", "Entrypoint"):
            first, *others = [sorted(worker["Config"][what]) for worker in workers]
            self.assertEqual(others, [first, first], f"{what} is the same for all")
        volumes = [
            {mount["Name"] for mount in worker["Mounts"] if mount["Destination"] == "/data"}
            for worker in workers
        ]
        self.assertEqual(volumes, [{f"{self.mesh.project}_book-data"}] * 3)

        racks = [rack for rack in self.mesh.gateway.get("/racks") if rack["type"] == "book"]
        self.assertEqual([rack["id"] for rack in racks], [BOOKS])
        self.assertEqual([m["role"] for m in racks[0]["members"]], ["voter"] * 3)
        peers = {member["peer_id"] for member in racks[0]["members"]}
        self.assertEqual(peers, {self.mesh.peer(name) for name in self.mesh.containers("wrk-book")})

    def test_three_to_one_to_three_keeps_every_acknowledged_write(self) -> None:
        with Writers(self.mesh.gateway) as writers:
            until("some writes", lambda: writers.count() > 50, 60)
            for number in (1, 3):
                self.mesh.up(books=number)
                self.assertEqual(len(self.mesh.containers("wrk-book")), number)
                self.mesh.settle(number)
                before = writers.count()
                until(f"writes with {number}", lambda: writers.count() > before + 50, 60)
        kept = writers.check()
        self.assertIn("verified", self.mesh.verify())
        print(f"3 → 1 → 3: {kept} acknowledged writes, all there, "
              f"the longest pause {writers.longest_pause:.1f} s")


if __name__ == "__main__":
    unittest.main()
