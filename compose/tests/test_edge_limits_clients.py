"""Each client has its own limits, at the edge and at the gateways, and can't borrow another's."""

import http.client
import re
import threading
import unittest

from support.client import Answer, request
from support.edge import Edge
from support.loopback import Mesh
from support.processes import REPOSITORY
from support.waiting import until

NGINX, ANOTHER, GATEWAYS, DIRECT = "127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"


class EdgeLimitsClients(unittest.TestCase):
    edge: Edge

    @classmethod
    def setUpClass(cls) -> None:
        cls.mesh = Mesh(gateways=2)
        cls.addClassCleanup(cls.mesh.close)
        # Less than the slowest machine asks; how much can be asked at once is as shipped.
        cls.edge = Edge(cls.mesh.addresses, cls.mesh.port, rate="10r/s")
        cls.addClassCleanup(cls.edge.close)

    def test_a_client_that_asks_too_much_is_told_so_and_nobody_else(self) -> None:
        refused: list[Answer] = []

        def flood() -> None:
            connection = self.edge.connect(NGINX)
            for number in range(5_000):
                # What it says of itself makes no other client of it.
                spoofed = {"X-Forwarded-For": f"10.1.{number % 250}.1", "X-Request-ID": "flood-1"}
                reply = request(connection, "GET", "/live", headers=spoofed)
                if reply.status == 429 or refused:
                    refused.append(reply)
                    break
            connection.close()

        floods = [threading.Thread(target=flood) for _ in range(8)]
        for thread in floods:
            thread.start()
        for thread in floods:
            thread.join()
        first = [reply for reply in refused if reply.status == 429]
        self.assertTrue(first, "none of 40,000 requests was one too many")
        reply = first[0]
        self.assertEqual(reply.headers["Retry-After"], "1")
        self.assertEqual(reply.headers["X-Request-ID"], "flood-1")
        self.assertEqual(reply.headers["Cache-Control"], "no-store")
        self.assertEqual(
            reply.json(),
            {
                "status": "error",
                "statusCode": 429,
                "error": {
                    "code": "ERR_RATE_LIMITED",
                    "message": "too many requests; wait as long as Retry-After says",
                },
                "requestId": "flood-1",
            },
        )
        self.assertEqual(self.edge.ask("GET", "/live", client=ANOTHER).status, 200)

    def test_connections_of_one_client_are_bounded(self) -> None:
        held = []
        self.addCleanup(lambda: [connection.close() for connection in held])
        statuses = []
        # Streams stay open; a hundred may.
        for _ in range(101):
            connection = self.edge.connect(NGINX + "1")
            connection.request("GET", "/events")
            statuses.append(connection.getresponse().status)
            held.append(connection)
        self.assertEqual(statuses, [200] * 100 + [429])
        self.assertEqual(self.edge.ask("GET", "/live", client=ANOTHER).status, 200)


class GatewaysSeeClients(unittest.TestCase):
    def test_a_gateway_limits_who_asks_the_edge_and_believes_nobody_else(self) -> None:
        # As the alias of nginx in the Compose file: a name that leads to it.
        limits = {"RATE_LIMIT_RPS": "1", "RATE_LIMIT_BURST": "20", "TRUSTED_PROXIES": "localhost"}
        mesh = Mesh(gateways=1, **limits)
        self.addCleanup(mesh.close)
        edge = Edge(mesh.addresses, mesh.port)
        self.addCleanup(edge.close)

        def is_refused(connection: http.client.HTTPConnection, number: int) -> bool:
            spoofed = {"X-Forwarded-For": f"10.2.{number % 250}.1, 10.3.{number % 250}.1"}
            return request(connection, "GET", "/racks", headers=spoofed).status == 429

        def exhausts(connection: http.client.HTTPConnection) -> bool:
            return any(is_refused(connection, number) for number in range(200))

        exhausted: list[bool] = []

        def limited_apart() -> bool:
            """Before the name was looked up, all clients are nginx's own address."""
            through = edge.connect(GATEWAYS)
            try:
                exhausted.append(exhausts(through))
            finally:
                through.close()
            return edge.ask("GET", "/racks", client=ANOTHER).status == 200

        until("the gateway knows one client from another", limited_apart)
        self.assertTrue(all(exhausted), "the spoofed addresses were believed")
        refusals = [line for line in edge.log() if line["status"] == "429"]
        self.assertTrue(all(line["gatewayStatus"] == "429" for line in refusals), "by the gateway")

        # Beside the edge, as at the published port of app-node.
        direct = http.client.HTTPConnection(
            mesh.addresses[0], mesh.port, timeout=60, source_address=(DIRECT, 0)
        )
        self.addCleanup(direct.close)
        self.assertTrue(exhausts(direct), "a client of the gateway's own port was believed")
        self.assertEqual(edge.ask("GET", "/racks", client="127.0.0.25").status, 200)


class AClientIsAnAddressOrANetwork(unittest.TestCase):
    def test_addresses_of_one_64_are_one_client(self) -> None:
        # By the expressions of the map, in their order: loopback has one address of IPv6 only.
        conf = (REPOSITORY / "compose/nginx/nginx.conf").read_text()
        block = conf.split("map $remote_addr $client {")[1].split("}\n    limit_req_zone")[0]
        expressions = [text.replace("?<", "?P<") for text in re.findall(r'"~(.+)" +\$net;', block)]
        self.assertEqual(len(expressions), 2)

        def client(address: str) -> str:
            found = (re.search(expression, address) for expression in expressions)
            return next((match["net"] for match in found if match), address)

        # As nginx writes them, shortened.
        for one, other in (
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:ffff::1"),
            ("2001:db8::1", "2001:db8::ffff"),
            ("2001:db8:7::1", "2001:db8:7::2:3"),
        ):
            self.assertEqual(client(one), client(other))
        for one, other in (
            ("2001:db8:1:2::1", "2001:db8:1:3::1"),
            ("2001:db8:7::1", "2001:db8:8::1"),
            ("10.0.0.1", "10.0.0.2"),
        ):
            self.assertNotEqual(client(one), client(other))


if __name__ == "__main__":
    unittest.main()
