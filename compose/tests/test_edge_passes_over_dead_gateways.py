"""Gateways come and go behind the edge: nobody who reads notices, and nothing is done twice."""

import http.client
import socket
import threading
import unittest
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.client import Answer, request
from support.edge import Edge
from support.gateway import book
from support.loopback import Mesh
from support.waiting import until


class FakeGateway:
    """Takes requests in full and notes them; what it does then is said by `answer`."""

    def __init__(self, address: str, port: int, answer: bytes = b"") -> None:
        self.seen: list[str] = []
        self._answer = answer
        self._socket = socket.create_server((address, port))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as lines:
                method = lines.readline().decode().split(" ")[0]
                length = 0
                while (line := lines.readline().strip().lower()):
                    if line.startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                lines.read(length)
                self.seen.append(method)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._socket.close()


class GatewaysThatDie(unittest.TestCase):
    """Gateways that take a request and die before they answer."""

    def setUp(self) -> None:
        first = FakeGateway("127.0.0.2", 0)
        self.gateways = [first, FakeGateway("127.0.0.3", first.port)]
        for gateway in self.gateways:
            self.addCleanup(gateway.close)
        self.edge = Edge(["127.0.0.2", "127.0.0.3"], first.port)
        self.addCleanup(self.edge.close)

    def assert_lost(self, reply: Answer) -> None:
        self.assertEqual(reply.status, 502)
        self.assertEqual(reply.json()["error"]["code"], "ERR_GATEWAY_LOST")

    def test_a_write_that_was_sent_is_never_sent_again(self) -> None:
        # More than once each: whether a body comes with its head changes what nginx does.
        for method in ("POST", "PUT", "PATCH", "DELETE") * 10:
            with self.subTest(method=method):
                body = None if method == "DELETE" else book("Once")
                self.assert_lost(self.edge.ask(method, "/books", body))
                seen = [gateway.seen.pop() for gateway in self.gateways if gateway.seen]
                self.assertEqual(seen, [method])

    def test_the_log_has_the_method_of_what_was_lost(self) -> None:
        for method in ("GET", "POST", "PUT", "DELETE"):
            with self.subTest(method=method):
                id = f"lost-{method}"
                body = book("Lost") if method in ("POST", "PUT") else None
                self.assert_lost(self.edge.ask(method, "/books", body, {"X-Request-ID": id}))
                [line] = until(
                    "the request is logged",
                    lambda id=id: [line for line in self.edge.log() if line["requestId"] == id],
                )
                self.assertEqual((line["method"], line["status"]), (method, "502"))

    def test_nobody_but_nginx_says_what_a_request_was(self) -> None:
        invented = {"X-Original-Method": "DELETE"}
        self.assert_lost(self.edge.ask("POST", "/books", book("Mine"), invented))
        self.assert_lost(self.edge.ask("PUT", "/books", book("Mine"), invented))
        seen = [method for gateway in self.gateways for method in gateway.seen]
        self.assertEqual(sorted(seen), ["POST", "PUT"])

    def test_what_was_sent_to_nobody_is_told_apart(self) -> None:
        nobody, refusing = [], ["127.0.0.6", "127.0.0.7"]
        for addresses in (nobody, refusing):
            self.edge.names.addresses = addresses
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                with self.subTest(method=method, addresses=addresses):
                    body = book("Never") if method.startswith("P") else None

                    def unsent(method: str = method, body: Any = body) -> Answer | None:
                        # What the name was before is known for a while.
                        reply = self.edge.ask(method, "/books", body)
                        self.assertEqual(reply.status, 502)
                        code = reply.json()["error"]["code"]
                        return reply if code == "ERR_NO_GATEWAY" else None

                    reply = until("nobody is asked", unsent, 15)
                    self.assertIn("nothing was done", reply.json()["error"]["message"])
                    self.assertEqual(reply.headers["Retry-After"], "1")
        lines = [line for line in self.edge.log() if line["gateway"].startswith("127.0.0.6")]
        self.assertTrue(lines, "those that refuse were not tried")

    def test_a_read_is_tried_at_another(self) -> None:
        self.assert_lost(self.edge.ask("GET", "/books"))
        self.assertEqual([gateway.seen for gateway in self.gateways], [["GET"], ["GET"]])

    def test_a_gateway_that_is_new_gets_its_share_without_a_restart(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        new = FakeGateway("127.0.0.4", self.gateways[0].port, answer)
        self.addCleanup(new.close)

        def statuses() -> set[int]:
            # At once, so that all processes of nginx have something to do; each client has a limit.
            def ask(number: int) -> int:
                return self.edge.ask("GET", "/books", client=f"127.2.0.{number}").status

            with ThreadPoolExecutor(16) as askers:
                return set(askers.map(ask, range(1, 33)))

        self.assertEqual(statuses(), {502})
        self.edge.names.addresses = ["127.0.0.4"]
        until("only the new one is asked", lambda: statuses() == {200}, 15)
        self.assertIn("GET", new.seen)

    def test_one_that_does_not_even_refuse_is_passed_over(self) -> None:
        # As an address that nobody has any more: what is sent there is lost.
        silent = socket.create_server(("127.0.0.4", self.gateways[0].port), backlog=0)
        self.addCleanup(silent.close)
        filling = []
        for _ in range(2):
            fill = socket.socket()
            self.addCleanup(fill.close)
            fill.setblocking(False)
            fill.connect_ex(("127.0.0.4", self.gateways[0].port))
            filling.append(fill)
        answer = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        good = FakeGateway("127.0.0.5", self.gateways[0].port, answer)
        self.addCleanup(good.close)
        self.edge.names.addresses = ["127.0.0.4", "127.0.0.5"]

        def passed_over() -> bool:
            self.edge.ask("POST", "/books", book("Not lost"))
            return any(line["gatewayStatus"] == "504, 201" for line in self.edge.log())

        until("a write passes over it", passed_over, 30)


class GatewaysOfAMesh(unittest.TestCase):
    def repeat(
        self,
        edge: Edge,
        stop: threading.Event,
        work: Callable[[http.client.HTTPConnection], None],
    ) -> None:
        """Works until it is to stop, as one client after the other: each has its limit."""
        client = threading.get_ident()
        while not stop.is_set():
            client += 1
            connection = edge.connect(f"127.1.{client // 250 % 250}.{client % 250 + 1}")
            for _ in range(50):
                work(connection)
            connection.close()

    def test_one_of_two_is_killed(self) -> None:
        mesh = Mesh(gateways=2)
        self.addCleanup(mesh.close)
        edge = Edge(mesh.addresses, mesh.port)
        self.addCleanup(edge.close)

        stop = threading.Event()
        reads: Counter[int] = Counter()
        writes: dict[str, int] = {}

        def read() -> None:
            self.repeat(edge, stop, lambda connection: reads.update(
                [request(connection, "GET", "/books?limit=1").status]
            ))

        def write(connection: http.client.HTTPConnection) -> None:
            name = f"Book {len(writes)}"
            writes[name] = request(connection, "POST", "/books", book(name)).status

        def served(address: str) -> int:
            at = f"{address}:{mesh.port}"
            return sum(line["gateway"] == at for line in edge.log())

        threads = [threading.Thread(target=read) for _ in range(2)]
        threads.append(threading.Thread(target=self.repeat, args=(edge, stop, write)))
        for thread in threads:
            thread.start()
        try:
            for address in mesh.addresses:
                until(f"{address} has its share", lambda at=address: served(at) > 50)
            mesh.kill("gateway-1")
            before = served(mesh.addresses[1])
            until("the other one goes on", lambda: served(mesh.addresses[1]) > before + 100)
            until(
                "one was passed over",
                lambda: any(line["gatewayStatus"] == "502, 200" for line in edge.log()),
            )
        finally:
            stop.set()
            for thread in threads:
                thread.join()

        self.assertEqual(set(reads), {200}, "a read failed")
        unknown = [name for name, status in writes.items() if status != 201]
        self.assertLessEqual(len(unknown), 1, "only what was in flight may have no answer")
        self.assertTrue(all(writes[name] == 502 for name in unknown), writes)
        names: Counter[str] = Counter()
        behind = ""
        while page := edge.ask("GET", f"/books?limit=1000{behind}").json()["data"]:
            names.update(found["info"]["name"] for found in page)
            behind = f"&after={page[-1]['id']}"
        for name in writes:
            self.assertLessEqual(names[name], 1, f"{name} is there twice")
            if name not in unknown:
                self.assertEqual(names[name], 1, f"{name} was acknowledged, and is lost")


if __name__ == "__main__":
    unittest.main()
