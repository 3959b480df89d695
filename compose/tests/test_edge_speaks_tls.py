"""The edge answers over TLS alone, shows no metrics, and refuses in the API's shape."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import unittest
import warnings

from support.client import Answer, request
from support.edge import Edge
from support.gateway import book
from support.loopback import BOOK_RACK, Mesh
from support.processes import REPOSITORY
from support.waiting import until

# What readers and customers may change; all other changes are the operators'.
OF_EVERYBODY = ("/books", "/checkout", "/v1/")


def operators_routes() -> list[tuple[str, str]]:
    """Method and path of the gateways' own routes that are not everybody's, with ids filled in."""
    table = (REPOSITORY / "gateway/src/routes.rs").read_text()
    routes = re.findall(r'^    (\w+) +"(/\S*)" +"\w+" +[\w:]+;$', table, re.MULTILINE)
    assert len(routes) > 20, "the table of routes is written in another way"
    return [
        (method.upper(), path.replace("{id}", BOOK_RACK))
        for method, path in routes if not path.startswith(OF_EVERYBODY)
    ]


class EdgeSpeaksTls(unittest.TestCase):
    mesh: Mesh
    edge: Edge

    @classmethod
    def setUpClass(cls) -> None:
        cls.mesh = Mesh(gateways=1)
        cls.addClassCleanup(cls.mesh.close)
        cls.edge = Edge(cls.mesh.addresses, cls.mesh.port)
        cls.addClassCleanup(cls.edge.close)

    def assert_error(self, reply: Answer, status: int, code: str) -> None:
        self.assertEqual(reply.status, status, reply.body)
        error = reply.json()
        self.assertEqual(set(error), {"status", "statusCode", "error", "requestId"})
        self.assertEqual((error["status"], error["statusCode"]), ("error", status))
        self.assertEqual(error["error"]["code"], code)
        self.assertEqual(reply.headers["X-Request-ID"], error["requestId"])
        self.assertEqual(reply.headers["Content-Type"], "application/json")
        self.assertEqual(reply.headers["X-Content-Type-Options"], "nosniff")
        self.assertIn("max-age=", reply.headers["Strict-Transport-Security"])

    def plain(self, method: str, path: str) -> Answer:
        connection = http.client.HTTPConnection("localhost", self.edge.http_port, timeout=60)
        try:
            return request(connection, method, path)
        finally:
            connection.close()

    def test_answers_come_over_tls_with_hsts(self) -> None:
        reply = self.edge.ask("POST", "/books", book("Over TLS"))
        self.assertEqual(reply.status, 201, reply.body)
        self.assertEqual(reply.headers["Strict-Transport-Security"], "max-age=86400")
        self.assertNotIn("nginx/", reply.headers["Server"] or "")

    def test_http_is_sent_to_https_with_its_method(self) -> None:
        for method in ("GET", "POST"):
            reply = self.plain(method, "/books?limit=1")
            self.assertEqual(reply.status, 308)
            self.assertEqual(
                reply.headers["Location"], f"https://localhost:{self.edge.port}/books?limit=1"
            )

    def test_nginx_says_that_it_lives(self) -> None:
        # What the container's health check asks.
        self.assertEqual(self.plain("GET", "/edge-health").status, 204)

    def handshake(self, version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.edge.dir / "fullchain.pem")
        # Else this side would refuse old versions, and not the edge.
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        context.set_alpn_protocols(["h2"])
        with socket.create_connection(("127.0.0.1", self.edge.port), timeout=60) as raw:
            with context.wrap_socket(raw, server_hostname="localhost") as tls:
                self.assertEqual(tls.selected_alpn_protocol(), "h2")
                return tls.version()

    def test_tls_is_new_enough(self) -> None:
        self.assertEqual(self.handshake(ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        self.assertEqual(self.handshake(ssl.TLSVersion.TLSv1_2), "TLSv1.2")
        with self.assertRaisesRegex(ssl.SSLError, "alert protocol version"):
            self.handshake(ssl.TLSVersion.TLSv1_1)

    def test_http2_is_spoken(self) -> None:
        ran = subprocess.run(
            ["curl", "--silent", "--show-error", "--http2", "--max-time", "60",
             "--cacert", self.edge.dir / "fullchain.pem", "--output", "/dev/null",
             "--write-out", "%{http_version} %{http_code}",
             f"https://localhost:{self.edge.port}/racks"],
            capture_output=True, text=True,
        )
        self.assertEqual(ran.stdout, "2 200", ran.stderr)

    def test_plain_http_on_the_tls_port_is_sent_to_https(self) -> None:
        connection = http.client.HTTPConnection("localhost", self.edge.port, timeout=60)
        reply = request(connection, "GET", "/books")
        self.assertEqual(reply.status, 308)
        self.assertEqual(reply.headers["Location"], f"https://localhost:{self.edge.port}/books")
        connection.close()

    def test_metrics_are_not_for_the_world(self) -> None:
        for path in ("/metrics", "//metrics", "/%6detrics", "/books/../metrics", "/metrics?a=b"):
            with self.subTest(path=path):
                self.assert_error(self.edge.ask("GET", path), 404, "ERR_NOT_FOUND")

    def test_what_operators_change_is_not_changed_from_outside(self) -> None:
        # Every route of the gateways that does, and other ways to write some of them.
        changes = [(method, path) for method, path in operators_routes() if method != "GET"]
        self.assertIn(("DELETE", f"/racks/{BOOK_RACK}"), changes)
        self.assertIn(("PUT", "/settings"), changes)
        changes += [
            ("DELETE", f"/racks/{BOOK_RACK}?force=true"), ("DELETE", f"//racks/{BOOK_RACK}"),
            ("DELETE", "/racks/book%2Drack-001"), ("DELETE", f"/racks/.%2Fx/../{BOOK_RACK}"),
            ("DELETE", f"/%72acks/{BOOK_RACK}"), ("DELETE", f"/books/..%2fracks/{BOOK_RACK}"),
            ("RETIRE", f"/racks/{BOOK_RACK}"), ("PATCH", "/settings"), ("POST", "/nodes/one/evict"),
        ]
        for method, path in changes:
            body = None if method == "DELETE" else {}
            with self.subTest(method=method, path=path):
                # As nginx says to itself what a POST was: nobody else may.
                for said in ({}, {"X-Original-Method": "GET", "X-HTTP-Method-Override": "GET"}):
                    reply = self.edge.ask(method, path, body, said)
                    self.assert_error(reply, 403, "ERR_FORBIDDEN")
                    self.assertIn("at a gateway, inside", reply.json()["error"]["message"])
        # A path that is another one to nginx, and so comes to a gateway: none of its either.
        for end in ("/log/tail", "%2Flog%2Ftail", "%2Fevents", "%3F/../../events"):
            reply = self.edge.ask("DELETE", f"/racks/{BOOK_RACK}{end}?force=true")
            self.assertGreaterEqual(reply.status, 400, end)
        # None of the others did, and what may be read is read.
        paths = {path.split("?")[0] for _, path in changes}
        asked = [line for line in self.edge.log() if line["path"] in paths and line["gateway"]]
        self.assertEqual([line for line in asked if line["method"] != "GET"], [])
        for method in ("GET", "HEAD"):
            for path in ("/settings", "/nodes", "/racks", f"/racks/{BOOK_RACK}",
                         f"/racks/{BOOK_RACK}/recovery", f"/racks/{BOOK_RACK}/log"):
                self.assertEqual(self.edge.ask(method, path).status, 200, path)

    def test_what_nginx_refuses_has_the_apis_shape(self) -> None:
        large = book("x" * (2 * 1024 * 1024))
        self.assert_error(self.edge.ask("POST", "/books", large), 413, "ERR_PAYLOAD_TOO_LARGE")
        self.assert_error(self.edge.ask("GET", "/" + "a" * 20_000), 414, "ERR_URI_TOO_LONG")

    def test_errors_of_the_gateways_are_their_own(self) -> None:
        # An error page of nginx would hide which book it was.
        reply = self.edge.ask("GET", "/books/999")
        self.assertEqual(reply.json()["error"]["code"], "ERR_BOOK_NOT_FOUND")
        # What a gateway takes, nginx lets through.
        reply = self.edge.ask("POST", "/books", book("x" * (1000 * 1024)))
        self.assertEqual(reply.json()["error"]["code"], "ERR_VALIDATION")

    def test_a_requests_id_passes_through(self) -> None:
        for path in ("/racks", "/metrics"):
            reply = self.edge.ask("GET", path, headers={"X-Request-ID": "order-7/a"})
            self.assertEqual(reply.headers["X-Request-ID"], "order-7/a", path)
        # What would break out of a text is replaced, and told alike everywhere.
        reply = self.edge.ask("GET", "/metrics", headers={"X-Request-ID": 'a","b":"'})
        self.assertRegex(reply.headers["X-Request-ID"], r"^[0-9a-f]{32}$")
        self.assertEqual(json.loads(reply.body)["requestId"], reply.headers["X-Request-ID"])

    def test_the_log_has_the_method_of_what_nginx_refused(self) -> None:
        large = book("x" * (2 * 1024 * 1024))
        for method in ("GET", "POST", "PUT", "DELETE"):
            with self.subTest(method=method):
                id = f"refused-{method}"
                path, body, status = "/books", large, "413"
                if method == "GET":
                    path, body, status = "/metrics", None, "404"
                reply = self.edge.ask(method, path, body, {"X-Request-ID": id})
                self.assertEqual(str(reply.status), status)
                [line] = until(
                    "the request is logged",
                    lambda id=id: [line for line in self.edge.log() if line["requestId"] == id],
                )
                self.assertEqual((line["method"], line["status"]), (method, status))

    def test_the_log_has_no_queries_and_no_clients(self) -> None:
        id = "logged-1"
        path = "/books?q=lovelace"
        self.edge.ask("GET", path, headers={"X-Request-ID": id}, client="127.0.0.8")
        # One that nginx has something to say of.
        self.edge.ask("POST", path, headers={"Content-Length": str(64 * 1024 * 1024)})
        lines = until(
            "the request is logged",
            lambda: [line for line in self.edge.log() if line["requestId"] == id],
        )
        self.assertEqual(lines[0]["path"], "/books")
        self.assertEqual((lines[0]["method"], lines[0]["status"]), ("GET", "200"))
        said = self.edge.process.out.read_text() + self.edge.process.err.read_text()
        self.assertNotIn("lovelace", said)
        self.assertNotIn("127.0.0.8", said)


if __name__ == "__main__":
    unittest.main()
