"""What changes is seen behind the edge as soon as before it."""

import time
import unittest

from support.edge import Edge
from support.gateway import book
from support.loopback import BOOK_RACK, Mesh

# A gateway's heartbeat comes every 15 s, and would push on what a buffer holds.
AT_ONCE_S = 5.0


class EdgePassesEventsAtOnce(unittest.TestCase):
    edge: Edge

    @classmethod
    def setUpClass(cls) -> None:
        mesh = Mesh(gateways=2)
        cls.addClassCleanup(mesh.close)
        cls.edge = Edge(mesh.addresses, mesh.port)
        cls.addClassCleanup(cls.edge.close)

    def assert_told(self, path: str) -> None:
        """Reads a stream, changes something in the middle of it, and waits for its line."""
        connection = self.edge.connect()
        self.addCleanup(connection.close)
        connection.request("GET", path)
        stream = connection.getresponse()
        self.assertEqual(stream.status, 200)
        for number in range(3):
            name = f"Told at once {path} {number}"
            began = time.monotonic()
            created = self.edge.ask("POST", "/books", book(name))
            self.assertEqual(created.status, 201, created.body)
            while name not in (line := stream.readline().decode()):
                self.assertTrue(line, "the stream ended")
                self.assertLess(time.monotonic() - began, AT_ONCE_S)
            self.assertLess(time.monotonic() - began, AT_ONCE_S)

    def test_events(self) -> None:
        self.assert_told("/events?from=beginning")

    def test_the_tail_of_a_log(self) -> None:
        self.assert_told(f"/racks/{BOOK_RACK}/log/tail")


if __name__ == "__main__":
    unittest.main()
