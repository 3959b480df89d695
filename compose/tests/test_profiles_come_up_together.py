"""`up -d` with both profiles, on an engine without registry: everything finds everything by name.

All but Grafana, which no package of Debian's has; scripts/stand_ins.sh makes the other images.
"""

import http.client
import json
import os
import secrets
import ssl
import subprocess
import threading
import unittest
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

from support import engine
from support.client import Answer, ask, request
from support.gateway import book
from support.waiting import free_port, until

ROOT = Path(__file__).resolve().parents[2]
PREFIX = os.environ.get("BOOKMESH_TEST_PROJECT", "bookmesh-test")
# What one gateway takes of one client in a second: less than the slowest machine asks.
GATEWAY_RPS = 5


class ProfilesComeUpTogether(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.images = engine.stand_ins()
        ports = ("BOOKMESH_PORT", "EDGE_HTTP_PORT", "EDGE_HTTPS_PORT", "PROMETHEUS_PORT",
                 "ALERTMANAGER_PORT")
        cls.ports = {name: free_port() for name in ports}
        cls.project = f"{PREFIX}-{secrets.token_hex(3)}"
        cls.env = engine.environment(
            cls.project, RATE_LIMIT_RPS=str(GATEWAY_RPS), **cls.images,
            **{name: str(port) for name, port in cls.ports.items()},
        )
        cls.addClassCleanup(
            cls.compose, "--profile", "edge", "--profile", "monitoring",
            "down", "--volumes", "--remove-orphans", "--timeout", "10",
        )
        cls.up()
        cls.tls = ssl.create_default_context()
        until("a certificate", cls.learn_certificate, 60)
        until("books are served over TLS", lambda: cls.ask("GET", "/ready").status == 200, 120)

    @classmethod
    def compose(cls, *args: str) -> str:
        return engine.run(*engine.compose_command(), *args, env=cls.env, deadline=300)

    @classmethod
    def up(cls, app_edge: int = 1) -> None:
        everything = cls.compose(
            "--profile", "edge", "--profile", "monitoring", "config", "--services"
        ).split()
        everything.remove("grafana")
        scales = ("--scale", "wrk-book=3", "--scale", f"app-edge={app_edge}")
        cls.compose("--profile", "edge", "--profile", "monitoring",
                    "up", "-d", *scales, *everything)

    @classmethod
    def containers(cls, service: str) -> list[str]:
        return engine.docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={cls.project}",
            "--filter", f"label=com.docker.compose.service={service}",
        ).split()

    @classmethod
    def address(cls, container: str) -> str:
        networks = engine.inspect(container)["NetworkSettings"]["Networks"]
        return networks[f"{cls.project}_mesh"]["IPAddress"]

    @classmethod
    def gateways(cls) -> set[str]:
        found = cls.containers("app-node") + cls.containers("app-edge")
        return {f"{cls.address(container)}:3000" for container in found}

    @classmethod
    def learn_certificate(cls) -> bool:
        [container] = cls.containers("edge-cert")
        tar = subprocess.run(
            ["docker", "cp", f"{container}:/data/fullchain.pem", "-"],
            capture_output=True, check=False, timeout=60,
        ).stdout.decode(errors="replace")
        begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
        if end not in tar:
            return False
        pem = begin + tar.split(begin)[1].split(end)[0] + end
        cls.tls.load_verify_locations(cadata=pem)
        return True

    @classmethod
    def connect(cls) -> http.client.HTTPSConnection:
        port = cls.ports["EDGE_HTTPS_PORT"]
        return http.client.HTTPSConnection("localhost", port, context=cls.tls, timeout=30)

    @classmethod
    def ask(cls, method: str, path: str, body: Any = None) -> Answer:
        with closing(cls.connect()) as connection:
            return request(connection, method, path, body)

    def prometheus(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.ports['PROMETHEUS_PORT']}/api/v1/{path}"
        return ask("GET", url).data()

    def served_by(self) -> set[str]:
        """Which gateways answered so far, by the log of the edge."""
        [edge] = self.containers("edge")
        lines = [json.loads(line) for line in engine.docker("logs", edge).splitlines()
                 if line.startswith("{")]
        return {line["gateway"] for line in lines if line["gatewayStatus"] == "200"}

    def test_https_answers_through_every_gateway(self) -> None:
        accepted = lambda: self.ask("POST", "/books", book("Behind the edge")).status == 201
        until("a write is accepted", accepted, 60)
        self.assertEqual(len(self.gateways()), 2)

        def all_served() -> bool:
            self.ask("GET", "/live")
            return self.gateways() <= self.served_by()

        until("both gateways answer", all_served, 60)

    def test_a_gateway_more_gets_its_share_and_one_less_is_not_missed(self) -> None:
        [edge] = self.containers("edge")
        started = engine.inspect(edge)["State"]["StartedAt"]
        self.up(app_edge=2)

        def all_served() -> bool:
            reply = self.ask("GET", "/live")
            self.assertEqual(reply.status, 200)
            return self.gateways() <= self.served_by()

        self.assertEqual(len(self.gateways()), 3)
        until("the new gateway answers", all_served, 60)
        engine.docker("kill", self.containers("app-edge")[0])
        for _ in range(100):
            self.assertEqual(self.ask("GET", "/live").status, 200)
        self.up(app_edge=1)
        self.assertEqual(engine.inspect(edge)["State"]["StartedAt"], started, "nginx was restarted")

    def test_gateways_tell_clients_of_the_edge_apart_and_believe_nobody_else(self) -> None:
        stop = threading.Event()
        refused: list[bool] = []

        def flood() -> None:
            connection = self.connect()
            while not stop.is_set():
                reply = request(connection, "GET", "/racks", headers=self.spoofed())
                refused.append(reply.status == 429)
            connection.close()

        floods = [threading.Thread(target=flood) for _ in range(4)]
        for thread in floods:
            thread.start()
        try:
            until("one client has had enough", lambda: sum(refused[-50:]) > 40, 60)
            # From inside of the network, and so another client.
            several = [argument for _ in range(4) for argument in (
                "--insecure", "--silent", "--output", "/dev/null", "--max-time", "60",
                "--write-out", "%{http_code} ", "https://edge:8443/racks", "--next",
            )]
            network = f"{self.project}_mesh"
            spared = engine.docker(
                "run", "--rm", "--network", network, self.images["CURL_IMAGE"], *several[:-1]
            ).split()
        finally:
            stop.set()
            for thread in floods:
                thread.join()
        self.assertEqual(spared, ["200"] * 4, "a client is refused for what another one did")

        # At the published port nobody's X-Forwarded-For counts.
        direct = http.client.HTTPConnection("127.0.0.1", self.ports["BOOKMESH_PORT"], timeout=30)
        self.addCleanup(direct.close)
        believed = [
            request(direct, "GET", "/racks", headers=self.spoofed()).status != 429
            for _ in range(300)
        ]
        self.assertFalse(all(believed), "an invented address was believed")

    def spoofed(self) -> dict[str, str]:
        number = secrets.randbelow(2**24)
        return {"X-Forwarded-For": f"11.{number >> 16}.{number >> 8 & 255}.{number & 255}"}

    def test_prometheus_finds_all_replicas_and_its_rules_are_sound(self) -> None:
        services = {"wrk-ork": 1, "wrk-book": 3, "wrk-order": 1, "app-node": 2,
                    "prometheus": 1, "alertmanager": 1, "node-exporter": 1}

        def all_up() -> bool:
            targets = self.prometheus("targets")["activeTargets"]
            down = [f"{t['scrapeUrl']}: {t['lastError']}" for t in targets if t["health"] != "up"]
            self.assertEqual(down, [])
            self.assertEqual(Counter(target["labels"]["job"] for target in targets), services)
            return True

        until("all targets are up", all_up, 120)

        groups = self.prometheus("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertTrue(any(rule["name"] == "ServiceDown" for rule in rules))
        evaluated = lambda: all(
            rule["health"] == "ok"
            for group in self.prometheus("rules")["groups"] for rule in group["rules"]
        )
        until("all rules were evaluated", evaluated, 90)
        connected = lambda: len(self.prometheus("alertmanagers")["activeAlertmanagers"]) == 1
        until("Prometheus tells Alertmanager", connected, 60)

    def test_all_containers_become_healthy_and_outlive_a_restart(self) -> None:
        # What is mounted over a directory may have another mode the second time.
        for service in ("edge", "alertmanager", "prometheus", "node-exporter"):
            engine.docker("restart", *self.containers(service))

        def all_healthy() -> bool:
            ids = engine.docker(
                "ps", "--all", "--quiet", "--filter",
                f"label=com.docker.compose.project={self.project}",
            ).split()
            states = {found["Name"]: found["State"] for found in map(engine.inspect, ids)}
            unhealthy = [
                name for name, state in states.items()
                if state.get("Health", {}).get("Status") != "healthy"
                # What has done its work has ended.
                and not ("edge-cert" in name and state["ExitCode"] == 0)
            ]
            self.assertEqual(unhealthy, [])
            return True

        until("all are healthy", all_healthy, 120)

    def test_containers_of_the_edge_are_confined(self) -> None:
        for service in ("edge", "edge-cert", "app-edge"):
            for container in self.containers(service):
                shown = engine.inspect(container)
                host = shown["HostConfig"]
                with self.subTest(service=service):
                    self.assertEqual(shown["Config"]["User"], "65532:65532")
                    self.assertTrue(host["ReadonlyRootfs"])
                    self.assertEqual(host["CapDrop"], ["ALL"])
                    self.assertGreater(host["Memory"], 0)
                    self.assertGreater(host["NanoCpus"], 0)
                    self.assertGreater(host["PidsLimit"], 0)
                    self.assertIn("no-new-privileges:true", host["SecurityOpt"])


if __name__ == "__main__":
    unittest.main()
