"""Prometheus, Alertmanager and node-exporter, from this machine's packages, on loopback."""

import http.server
import json
import os
import shutil
import threading
import urllib.parse
from pathlib import Path
from typing import Any

from . import shipped
from .client import ask
from .processes import Process
from .waiting import PATIENCE_S, free_port, until

# What they are called where they are installed: Debian's packages have names of their own.
PROGRAMS = {
    "prometheus": ("prometheus",),
    "alertmanager": ("prometheus-alertmanager", "alertmanager"),
    "node-exporter": ("prometheus-node-exporter", "node_exporter"),
}


def program(job: str) -> str:
    for name in PROGRAMS[job]:
        found = shutil.which(name)
        if found:
            return found
    raise AssertionError(f"{' or '.join(PROGRAMS[job])} is not installed")


class Refused(Exception):
    """Prometheus does not understand what it is asked: asking again is of no use."""


class Operators:
    """Who is told of alerts: a webhook that keeps what it gets."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        operators = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # noqa: N802, the base class wants it so
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                operators.told.extend(body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def were_told(self, status: str, **labels: str) -> bool:
        return any(
            alert["status"] == status and labels.items() <= alert["labels"].items()
            for alert in self.told
        )

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class Watch:
    """All of it. `targets` says where the mesh's nodes are, by job."""

    def __init__(self, directory: Path, targets: dict[str, list[str]]) -> None:
        self.directory = directory
        self.operators = Operators()
        ports = {job: free_port() for job in PROGRAMS}
        self.url = f"http://127.0.0.1:{ports['prometheus']}"
        self.alertmanager_url = f"http://127.0.0.1:{ports['alertmanager']}"
        self.processes: list[Process] = []
        try:
            self._begin(targets, ports)
        except BaseException:
            self.end()
            raise

    def _begin(self, targets: dict[str, list[str]], ports: dict[str, int]) -> None:
        directory, env = self.directory, {"PATH": os.environ["PATH"]}
        self.set_targets(targets)
        exporter_at = f"127.0.0.1:{ports['node-exporter']}"
        started = (
            ("node-exporter", [
                program("node-exporter"), *shipped.collectors(),
                f"--web.listen-address={exporter_at}",
            ], {}),
            ("alertmanager", [
                "sh", str(shipped.alertmanager_configuration(directory)),
                f"--web.listen-address=127.0.0.1:{ports['alertmanager']}",
                "--cluster.listen-address=", f"--storage.path={directory}/alertmanager-data",
            ], {
                "ALERTMANAGER": program("alertmanager"),
                "ALERT_WEBHOOK_URL": self.operators.url,
                "CONFIG_DIR": self._directory("alertmanager-config"),
            }),
            ("prometheus", [
                program("prometheus"),
                f"--config.file={shipped.prometheus_configuration(directory, ports)}",
                f"--web.listen-address=127.0.0.1:{ports['prometheus']}",
                f"--storage.tsdb.path={directory}/prometheus-data",
                "--rules.alert.resend-delay=1s",
            ], {}),
        )
        for name, command, more in started:
            self.processes.append(Process(name, directory, command, env | more))
        for name, url in (("prometheus", self.url), ("alertmanager", self.alertmanager_url)):
            until(f"{name} is ready", lambda url=url: self._is_ready(url))

    def _directory(self, name: str) -> str:
        path = self.directory / name
        path.mkdir()
        return str(path)

    def _is_ready(self, url: str) -> bool:
        for process in self.processes:
            process.must_run()
        return ask("GET", f"{url}/-/ready").status == 200

    def set_targets(self, targets: dict[str, list[str]]) -> None:
        shipped.write_targets(self.directory, targets)

    def get(self, path: str) -> Any:
        told = ask("GET", self.url + path).json()
        if told["status"] != "success":
            raise Refused(f"{path}: {told['error']}")
        return told["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression finds now. A scalar is a series without labels."""
        query = urllib.parse.urlencode({"query": expression})
        data = self.get(f"/api/v1/query?{query}")
        if data["resultType"] in ("scalar", "string"):
            return [{"metric": {}, "value": data["result"]}]
        return data["result"]

    def rules(self) -> list[dict[str, Any]]:
        """All rules as Prometheus understood them, with health and last error."""
        groups = self.get("/api/v1/rules")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def firing(self) -> set[str]:
        """The alerts that fire, as `Name` and its labels that tell where."""
        found = set()
        for series in self.query('ALERTS{alertstate="firing"}'):
            labels = series["metric"]
            where = [labels[name] for name in ("job", "rack") if name in labels]
            found.add(" ".join([labels["alertname"], *where]))
        return found

    def known_to_alertmanager(self, name: str, **labels: str) -> dict[str, Any] | None:
        """An alert that is active there, be it inhibited or not."""
        filters = [f'alertname="{name}"'] + [f'{key}="{text}"' for key, text in labels.items()]
        query = urllib.parse.urlencode([("filter", text) for text in filters])
        alerts = ask("GET", f"{self.alertmanager_url}/api/v2/alerts?{query}").json()
        return alerts[0] if alerts else None

    def wait_until_firing(self, name: str, within_s: float = PATIENCE_S, **labels: str) -> dict:
        """Waits until an alert has reached Alertmanager, and returns it."""
        return until(
            f"{name} {labels} fires", lambda: self.known_to_alertmanager(name, **labels), within_s
        )

    def wait_until_resolved(self, name: str, within_s: float = PATIENCE_S, **labels: str) -> None:
        """Waits until neither Prometheus nor Alertmanager know of an alert any more."""
        match = ",".join(f'{key}="{text}"' for key, text in {"alertname": name, **labels}.items())
        until(
            f"{name} {labels} resolves",
            lambda: not self.query(f'ALERTS{{alertstate="firing",{match}}}')
            and self.known_to_alertmanager(name, **labels) is None,
            within_s,
        )

    def end(self) -> None:
        for process in reversed(self.processes):
            process.end()
        self.operators.end()
