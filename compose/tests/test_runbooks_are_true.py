"""The commands of docs/observe.md and docs/troubleshoot.md are run as they stand, one after the
other, on a mesh that has the symptom of their section where it can be made."""

import re
import socket
import ssl
import tempfile
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

from support import documents, engine
from support.case import tell_on_failure
from support.gateway import Gateway
from support.mesh import BOOKS, Mesh
from support.waiting import free_port, until

DOCS = engine.COMPOSE_DIR.parent / "docs"
NAMES = ("observe.md", "troubleshoot.md")
# More than any command takes.
DEADLINE = 120
END = object()
# The id that observe.md looks for.
REQUEST = "5f0c2d1e9a7b4c33"

NOT_RUN = {
    "../scripts/image.sh": "it makes the image that is tested here",
    "docker compose build": "it asks a registry for the image of Rust",
    "docker image prune": "it asks, and removes images of others",
    "iostat -x 5 3": "it tells of the machine alone, and a package is not worth that",
}
# What a command has to print, where its exit code says too little.
SHOWS = {
    "docker compose --profile edge logs edge-cert": "can't read .*: Permission denied",
    "docker compose --profile edge logs --tail 20 edge": r'"path":"/live"',
    "docker compose --profile monitoring logs --tail 50 alertmanager": "alertmanager.*level=",
    "docker compose --profile monitoring ps --all": r"alertmanager.*Exit",
    "docker compose exec -T app-node /bookmesh status": BOOKS,
    "docker compose exec -T --index=1 wrk-book /bookmesh health http://127.0.0.1:8081": "^ready$",
    "docker compose logs --no-log-prefix | grep 5f0c2d1e9a7b4c33 | sort":
        r'(?s)"role":"gateway".*"role":"worker"|"role":"worker".*"role":"gateway"',
    "docker compose logs --tail 100 wrk-book": '"role":"worker"',
    "docker compose logs --tail 50 wrk-book": '"role":"worker"',
    "docker compose ps --all": "wrk-book.*(Exit|Up)",
    "docker inspect --format '{{.Name}} {{.State.ExitCode}} {{.State.OOMKilled}} "
    "{{.RestartCount}}' $(docker compose ps --all -q wrk-book)": " false [1-9]$",
    "docker network inspect $(docker network ls -q -f label=com.docker.compose.network=mesh) "
    """| grep -E '"(Name|IPv4Address)"'""": "wrk-book",
    "docker stats --no-stream": "wrk-book",
    "docker system df -v": "book-data",
    "curl -s http://127.0.0.1:3000/health": '"services"',
    "curl -si http://127.0.0.1:3000/live": "200 OK",
    "curl -sik https://127.0.0.1:8443/live": "HTTP/2 200",
    "ss -ltnp 'sport = :3000'": "LISTEN",
}


def text_of(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def all_commands() -> set[str]:
    return {command for name in NAMES for command in documents.commands(text_of(name))}


class Tables(unittest.TestCase):
    def test_all_commands_are_written_for_the_console(self) -> None:
        for name in NAMES:
            self.assertEqual(documents.languages(text_of(name)), {"console"}, name)

    def test_they_name_commands_that_are_there(self) -> None:
        self.assertEqual((set(NOT_RUN) | set(SHOWS)) - all_commands(), set())


class Runbooks(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.mkdtemp(prefix="bookmesh-runbooks-")
        # Some of it is given away.
        self.addCleanup(engine.run, *engine.as_root(), "rm", "-r", directory)
        self.certificates, self.books = Path(directory, "certs"), Path(directory, "books")
        images = engine.stand_ins()
        names = ("EDGE_HTTP_PORT", "EDGE_HTTPS_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT",
                 "GRAFANA_PORT")
        self.ports = {name: str(free_port()) for name in names}
        # No package has Grafana: in its place is something that runs.
        grafana = {"GRAFANA_IMAGE": images["NODE_EXPORTER_IMAGE"]}
        self.mesh = Mesh(
            variables=images | grafana | self.ports | {"EDGE_CERTS": str(self.certificates)}
        )
        self.addCleanup(self.mesh.end)
        self.addCleanup(tell_on_failure, self, self.mesh)
        self.other = Gateway(free_port())
        # What stands for what: this machine has other meshes, and other things on these ports.
        self.here = {
            "docker compose": " ".join(engine.compose_command()),
            "sudo": " ".join(engine.as_root()),
            "/srv/books": str(self.books),
            "127.0.0.1:3000": f"127.0.0.1:{self.mesh.port}",
            "publish=3000": f"publish={self.mesh.port}",
            "sport = :3000": f"sport = :{self.mesh.port}",
            "BOOKMESH_PORT=3100": f"BOOKMESH_PORT={self.other.port}",
            "127.0.0.1:8443": f"127.0.0.1:{self.ports['EDGE_HTTPS_PORT']}",
            "label=com.docker.compose.network=mesh": "label=com.docker.compose.network=mesh "
                f"-f label=com.docker.compose.project={self.mesh.project}",
            # Nobody is there to be asked.
            "exec app-node /bookmesh rack recover book-rack-001":
                "exec -T app-node /bookmesh rack recover book-rack-001 --yes",
        }

    def test_commands_do_what_they_are_there_for(self) -> None:
        symptoms: dict[str, Callable[[], Iterator[None]]] = {
            "Start it": self.nothing_runs,
            "A request's way": self.requests_were_made,
            "Troubleshoot": self.a_worker_was_lost,
            "A port is taken": self.the_port_is_taken,
            "Permission denied in the data directory": self.a_directory_is_roots,
            "nginx restarts (profile `edge`)": self.the_certificate_cannot_be_read,
            "ServiceDown": self.no_worker_runs,
            "InstanceDown": self.a_worker_hangs,
            "ProcessRestarts": self.a_worker_crashed,
            "LogLinesDropped": self.logged_too_much,
            "RackWithoutLeader": self.the_majority_is_gone,
            "RackUnderReplicated": self.one_voter_is_gone,
            "BreakerOpen": self.orders_are_refused,
            "MemoryNearLimit": self.workers_want_more,
            "CpuNearLimit": self.gateways_want_more,
            "MonitoringDown": self.alertmanager_is_down,
            "MonitoringConfigBroken": self.prometheus_is_to_read_again,
        }
        everything = "\n".join(all_commands())
        self.assertEqual([one for one in self.here if one not in everything], [])
        run: set[str] = set()
        for name in NAMES:
            for section in documents.sections(text_of(name)):
                symptom = symptoms.pop(section.title, None)
                steps = symptom() if symptom else iter([None] * len(section.blocks))
                for block in section.blocks:
                    self.assertIsNone(next(steps, END), f"{section.title} has more blocks now")
                    for command in block:
                        # Where nothing has happened, it would show what it did before.
                        if command not in NOT_RUN and (symptom or command not in run):
                            self.run_command(f"{name}: {section.title}", command)
                            run.add(command)
                self.assertIs(next(steps, END), END, f"{section.title} has fewer blocks now")
        self.assertEqual(list(symptoms), [], "symptoms of sections that are not there")

    def run_command(self, where: str, command: str) -> None:
        script = command
        for there, here in self.here.items():
            script = script.replace(there, here)
        bash = ("bash", "-euo", "pipefail", "-c", script)
        try:
            said = engine.run(*bash, env=self.mesh.env, deadline=DEADLINE)
            self.assertRegex(said, re.compile(SHOWS.get(command, ""), re.MULTILINE))
        except AssertionError as error:
            raise AssertionError(f"{where}: {error}") from error

    # Each of these makes a symptom, has a block of its section run at each `yield`, and waits
    # until that has helped.

    def nothing_runs(self) -> Iterator[None]:
        self.assertEqual(self.mesh.all_containers(), [])
        yield
        self.mesh.first_write()
        self.mesh.settle()

    def requests_were_made(self) -> Iterator[None]:
        book = {"info": {"name": "Emma", "author": "Jane Austen"}}
        made = self.mesh.gateway.send("POST", "/books", book, {"X-Request-Id": REQUEST})
        self.assertEqual(made.status, 201, made.body)
        # As long as nobody leads, a request waits; the line that says so comes after its answer.
        self.kill(3)
        self.mesh.gateway.send("GET", "/books", timeout=60)
        self.start_again()
        until("it was slow", lambda: '"slow"' in self.logs("app-node"))
        yield

    def a_worker_was_lost(self) -> Iterator[None]:
        self.kill(1)
        until("it is missed", lambda: len(self.mesh.gateway.voters(BOOKS)) == 2)
        # A warning there is already: of what was slow.
        self.assertIn('"WARN"', self.logs("app-node"))
        yield
        self.start_again()

    def the_port_is_taken(self) -> Iterator[None]:
        self.mesh.compose("stop", "app-node")
        with socket.create_server(("", self.mesh.port)):
            with self.assertRaisesRegex(engine.CommandFailed, "address already in use"):
                self.mesh.compose("up", "-d", "app-node")
            yield
            until("it answers there", lambda: self.other.send("GET", "/ready").status == 200)
        self.mesh.up()
        self.mesh.settle()

    def a_directory_is_roots(self) -> Iterator[None]:
        self.books.mkdir(mode=0o755)
        mount = f"{self.books}:/data"
        write = ("run", "--rm", "--network", "none", "--volume", mount, engine.image(),
                 "keys", "new", "/data/node.key")
        with self.assertRaisesRegex(engine.CommandFailed, "Permission denied"):
            engine.docker(*write)
        yield
        engine.docker(*write)

    def the_certificate_cannot_be_read(self) -> Iterator[None]:
        self.certificates.mkdir(mode=0o755)
        self.sign()
        self.mesh.compose("--profile", "edge", "up", "-d", "edge", "edge-cert")
        until("it says so", lambda: "Permission denied" in self.logs("edge-cert"))
        yield
        self.give_away_key()
        until("the edge serves it", self.is_served)
        self.sign()
        self.give_away_key()
        self.assertFalse(self.is_served())
        yield
        until("the edge serves the new one", self.is_served)

    def no_worker_runs(self) -> Iterator[None]:
        self.kill(3)
        yield
        self.mesh.settle()

    def a_worker_hangs(self) -> Iterator[None]:
        [first, *_] = self.mesh.containers("wrk-book")
        engine.docker("pause", first)
        yield
        engine.docker("restart", first)
        self.mesh.settle()

    def a_worker_crashed(self) -> Iterator[None]:
        [first, *_] = self.mesh.containers("wrk-book")
        before = engine.inspect(first)["RestartCount"]
        engine.crash(first)
        until("it runs again", lambda: engine.inspect(first)["RestartCount"] > before)
        yield
        self.mesh.settle()

    def logged_too_much(self) -> Iterator[None]:
        yield
        [gateway] = self.mesh.containers("app-node")
        self.assertIn("LOG_LEVEL=warn", engine.inspect(gateway)["Config"]["Env"])
        self.mesh.settle()

    def the_majority_is_gone(self) -> Iterator[None]:
        _, *followers = self.leader_first()
        engine.docker("kill", *followers)
        until("only one answers", lambda: len(self.mesh.gateway.voters(BOOKS)) == 1)
        yield
        self.mesh.settle()
        engine.docker("kill", *self.leader_first()[:2])
        until("nobody leads", lambda: not self.mesh.gateway.rack(BOOKS)["leader"])
        yield
        self.mesh.first_write()
        self.start_again()

    def one_voter_is_gone(self) -> Iterator[None]:
        self.kill(1)
        yield
        self.mesh.settle()

    def orders_are_refused(self) -> Iterator[None]:
        book = self.mesh.gateway.names()[0][0]
        self.kill(3)

        def refused() -> bool:
            self.mesh.gateway.send("POST", "/v1/orders", {"book_id": book, "quantity": 1})
            health = self.mesh.gateway.send("GET", "/health").body.decode()
            return f"{BOOKS} does not answer: orders of its books are refused" in health

        until("the breaker opens", refused)
        yield
        self.start_again()

    def workers_want_more(self) -> Iterator[None]:
        yield
        self.mesh.env["WORKER_MEMORY"] = "1g"
        yield
        self.mesh.settle()
        limits = [engine.inspect(name)["HostConfig"]["Memory"]
                  for name in self.mesh.containers("wrk-book")]
        self.assertEqual(limits, [1 << 30] * 3)

    def gateways_want_more(self) -> Iterator[None]:
        yield
        self.assertEqual(len(self.mesh.containers("app-edge")), 3)

    def alertmanager_is_down(self) -> Iterator[None]:
        engine.docker("kill", *self.mesh.containers("alertmanager"))
        yield
        engine.docker("start", *self.mesh.containers("alertmanager"))

    def prometheus_is_to_read_again(self) -> Iterator[None]:
        def loaded() -> int:
            return self.logs("prometheus").count("Completed loading of config")

        before = loaded()
        yield
        until("it has read it", lambda: loaded() > before)

    def sign(self) -> None:
        """Puts another certificate there, whose key only root can read."""
        for name in ("fullchain.pem", "privkey.pem"):
            (self.certificates / name).unlink(missing_ok=True)
        engine.docker(
            "run", "--rm", "--network", "none", "--user", "0",
            "--volume", f"{self.certificates}:/certs", engine.image(),
            "keys", "cert", "--dir", "/certs", "--host", "localhost",
        )

    def give_away_key(self) -> None:
        key = self.certificates / "privkey.pem"
        engine.run(*engine.as_root(), "chown", "65532", str(key))

    def is_served(self) -> bool:
        served = ssl.get_server_certificate(("127.0.0.1", int(self.ports["EDGE_HTTPS_PORT"])))
        return served.strip() in (self.certificates / "fullchain.pem").read_text(encoding="utf-8")

    def logs(self, service: str) -> str:
        both = "docker logs $0 2>&1"
        names = self.mesh.containers(service)
        return "".join(engine.run("bash", "-c", both, name) for name in names)

    def leader_first(self) -> list[str]:
        leader = self.mesh.leader()
        return sorted(self.mesh.containers("wrk-book"), key=lambda name: name != leader)

    def kill(self, workers: int) -> None:
        engine.docker("kill", *self.mesh.containers("wrk-book")[-workers:])

    def start_again(self) -> None:
        engine.docker("start", *self.mesh.containers("wrk-book"))
        self.mesh.settle()


if __name__ == "__main__":
    unittest.main()
