"""A mesh in containers: a Compose project of its own, on a port of its own, gone at the end."""

import atexit
import os
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from . import engine
from .gateway import Gateway
from .waiting import free_port, until

BOOKS = "book-rack-001"
ORDERS = "order-rack-001"
# What a test's project is called before its random part.
PREFIX = os.environ.get("BOOKMESH_TEST_PROJECT", "bookmesh-test")
# Up to the first accepted write.
FIRST_WRITE_WITHIN = 30


@dataclass
class Mesh:
    """One Compose project."""

    project: str = field(default_factory=lambda: f"{PREFIX}-{secrets.token_hex(3)}")
    port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)
    first_write_s: float | None = None

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.port)
        port = str(self.port)
        self.env = engine.environment(self.project, BOOKMESH_PORT=port, **self.variables)
        _running.append(self)

    def compose(self, *args: str, deadline: float = 120) -> str:
        """Runs a command of Compose."""
        return engine.run(*engine.compose_command(), *args, env=self.env, deadline=deadline)

    def up(self, books: int = 3) -> None:
        """`up -d --scale wrk-book=…`, as a user does it."""
        self.compose("up", "-d", "--scale", f"wrk-book={books}")

    def begin(self) -> None:
        """From nothing to the first accepted write, and to three voters."""
        began = time.monotonic()
        self.up()
        self.first_write()
        self.first_write_s = time.monotonic() - began
        self.settle()

    def first_write(self, deadline: float = 60) -> None:
        """Waits until a write is accepted."""
        key = f"first-{secrets.token_hex(4)}"
        accepted = lambda: self.gateway.register("The first", key, timeout=5).status == 201
        until("a write is accepted", accepted, deadline)

    def settle(self, voters: int = 3) -> None:
        """Waits until the rack of books has so many voters, that have caught up, and no other
        members, and orders have a leader."""
        until(f"{voters} voters that have caught up", lambda: self.is_settled(voters), 90)
        until("a leader of orders", lambda: self.gateway.rack(ORDERS)["leader"], 60)

    def is_settled(self, voters: int) -> bool:
        """Whether the rack of books has exactly these voters, all with the same log."""
        members = self.gateway.rack(BOOKS)["members"]
        here = self.gateway.voters(BOOKS)
        ends = [voter.get("applied_index") for voter in here]
        return len(members) == len(here) == voters and max(ends) - min(ends) < 1000

    def containers(self, service: str) -> list[str]:
        """Names of a service's containers, running or not."""
        shown = engine.docker(
            "ps", "--all", "--format", "{{.Names}}",
            "--filter", f"label=com.docker.compose.project={self.project}",
            "--filter", f"label=com.docker.compose.service={service}",
            "--filter", "label=com.docker.compose.oneoff=False",
        )
        return sorted(shown.split())

    def all_containers(self) -> list[str]:
        """Names of all containers of the mesh."""
        services = ("wrk-ork", "wrk-book", "wrk-order", "app-node")
        return [name for service in services for name in self.containers(service)]

    def network(self) -> str:
        """The network of the mesh."""
        return f"{self.project}_mesh"

    def address(self, container: str) -> str:
        """A container's address in the network of the mesh."""
        networks = engine.inspect(container)["NetworkSettings"]["Networks"]
        return networks[self.network()]["IPAddress"]

    def squat(self, address: str) -> Callable[[], object]:
        """Takes an address that is free, so that nobody else gets it; how to give it back."""
        names: list[str] = []
        give_back = lambda: names and engine.docker("rm", "--force", *names)
        image = engine.inspect(self.containers("app-node")[0])["Image"]
        # The engine gives the lowest that is free. Any process that stays will do.
        try:
            for number in range(10):
                names.append(f"{self.project}-squatter-{number}")
                place = ("--name", names[-1], "--network", self.network())
                engine.docker("run", "--detach", *place, image, "ork", "--p2p-host", "127.0.0.1")
                if self.address(names[-1]) == address:
                    return give_back
            raise AssertionError(f"the engine gave {address} to nobody")
        except BaseException:
            give_back()
            raise

    def peer(self, container: str) -> str:
        """The node that a container is, since it was started last."""
        lines = engine.docker("logs", container).splitlines()
        ready = [line for line in lines if line.startswith("ready ")]
        assert ready, f"{container} is not ready yet"
        return ready[-1].rsplit("peer=", 1)[1].strip()

    def of_peer(self, service: str, peer: str) -> str:
        """The container that is this node."""
        found = [name for name in self.containers(service) if self.peer(name) == peer]
        assert found, f"no container of {service} is node {peer}"
        return found[0]

    def leader(self) -> str:
        """The container that leads the rack of books."""
        def look() -> str | None:
            leader = self.gateway.rack(BOOKS)["leader"]
            return leader and self.of_peer("wrk-book", leader)

        return until("a leader of books", look, 60)

    def verify(self, rack: str = BOOKS) -> str:
        """The hash chain of a rack's log, computed anew from its first entry."""
        command = ("exec", "-T", "app-node", "/bookmesh", "log", "verify", "--rack", rack)
        return self.compose(*command, deadline=120)

    def logs(self, lines: int = 25) -> str:
        """The end of what every container said, without its own requests."""
        said = self.compose("logs", "--no-color", "--tail", str(lines)).splitlines()
        return "\n".join(line[:400] for line in said if '"target":"http"' not in line)

    def end(self) -> None:
        """Removes everything, with what profiles have started."""
        profiles = ("--profile", "edge", "--profile", "monitoring")
        self.compose(*profiles, "down", "-v", "--remove-orphans", "-t", "10", deadline=180)
        # Not before: what is left is tried again at the end.
        if self in _running:
            _running.remove(self)


_running: list[Mesh] = []
_shared: list[Mesh] = []


def shared() -> Mesh:
    """The mesh that tests share, begun by the first that asks; it has three workers of books."""
    if not _shared:
        mesh = Mesh()
        mesh.begin()
        _shared.append(mesh)
    return _shared[0]


def _end_all() -> None:
    for mesh in list(_running):
        try:
            mesh.end()
        except AssertionError as error:
            print(f"{mesh.project} is left behind: {error}", file=sys.stderr)


atexit.register(_end_all)
