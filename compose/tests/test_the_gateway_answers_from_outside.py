"""The gateway answers on its published port, at every address of this machine."""

import re
import unittest

from support import engine
from support.case import SharedMesh
from support.gateway import Gateway


class Outside(SharedMesh):
    """What a browser and a program on the host see."""

    def test_at_loopback_and_at_an_address_of_a_network(self) -> None:
        gateway_of_network = engine.inspect(self.mesh.network())["IPAM"]["Config"][0]["Gateway"]
        for host in ("127.0.0.1", gateway_of_network):
            with self.subTest(host):
                outside = Gateway(self.mesh.port, host)
                self.assertEqual(outside.send("GET", "/live").status, 200)
                self.assertEqual(outside.register(f"From {host}", f"from-{host}").status, 201)

    def test_a_browser_gets_the_page_and_the_document(self) -> None:
        page = self.mesh.gateway.send("GET", "/docs", headers={"Accept": "text/html"})
        if page.status in (301, 302, 303, 307, 308):
            page = self.mesh.gateway.send("GET", page.headers["location"])
        self.assertEqual(page.status, 200)
        self.assertRegex(page.headers["content-type"], "^text/html")
        self.assertTrue(re.search(rb"<html", page.body, re.IGNORECASE))
        document = self.mesh.gateway.send("GET", "/openapi.json")
        self.assertEqual(document.status, 200)

    def test_nothing_else_is_published(self) -> None:
        for container in self.mesh.all_containers():
            ports = engine.inspect(container)["NetworkSettings"]["Ports"]
            published = [port for port, bound in ports.items() if bound]
            expected = ["3000/tcp"] if "app-node" in container else []
            self.assertEqual(published, expected, container)


if __name__ == "__main__":
    unittest.main()
