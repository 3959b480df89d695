"""A mesh of processes on loopback, that can be hurt."""

import os
import secrets
import tempfile
from pathlib import Path

from .gateway import Gateway
from .processes import Process, bookmesh
from .waiting import until

BOOK_RACK, ORDER_RACK = "book-rack-001", "order-rack-001"


class Mesh:
    """An orchestrator `ork`, workers such as `book-1`, by the first word of their rack, and
    gateways such as `gateway-1`, with `settings`. Each gateway has an address of its own, from
    127.0.0.2 on, and all have one port, as containers have. `under` starts some of the nodes."""

    def __init__(
        self,
        gateways: int,
        racks: dict[str, int] | None = None,
        under: dict[str, list[str]] | None = None,
        **settings: str,
    ) -> None:
        self._dir = tempfile.TemporaryDirectory(prefix="bookmesh-mesh-")
        self.directory = Path(self._dir.name)
        self.racks, self._under = racks or {BOOK_RACK: 1}, under or {}
        self.env = {
            "PATH": os.environ["PATH"], "HOST": "127.0.0.1", "P2P_HOST": "127.0.0.1",
            "P2P_PORT": "0", "MDNS": "off", "LOG_LEVEL": "info", "MESH_KEY": secrets.token_hex(32),
        }
        self.nodes: dict[str, Process] = {}
        self.urls: dict[str, str] = {}
        self.gateways: list[Gateway] = []
        try:
            self._begin(gateways, settings)
        except BaseException:
            self.close()
            raise

    def _begin(self, gateways: int, settings: dict[str, str]) -> None:
        p2p = self._start("ork", "ork").says(r"^ready .*p2p=([^ ,]+)")
        # Its address alone: a peer id at its end would tie the mesh to this process's key.
        self.env["BOOTSTRAP"] = p2p.split("/p2p/")[0]
        for rack, workers in self.racks.items():
            for number in range(1, workers + 1):
                self.add_worker(f"{rack.split('-')[0]}-{number}", rack)
        for number in range(1, gateways + 1):
            host = f"127.0.0.{number + 1}"
            port = str(self.port) if self.gateways else "0"
            name = f"gateway-{number}"
            self._start(name, "gateway", **{"HOST": host, "PORT": port} | settings)
            self.gateways.append(Gateway(int(self.urls[name].rsplit(":", 1)[1]), host))
        self.wait_until_whole()

    def _start(self, name: str, *arguments: str, **settings: str) -> Process:
        data = self.directory / f"{name}-data"
        data.mkdir()
        env = self.env | {"PORT": "0", "DATA_DIR": str(data)} | settings
        command = [*self._under.get(name, []), bookmesh(), *arguments]
        node = self.nodes[name] = Process(name, self.directory, command, env)
        self.urls[name] = node.says(r"^ready .*http=(\S+)")
        # What comes back has the port that it had.
        env["PORT"] = self.urls[name].rsplit(":", 1)[1]
        return node

    def add_worker(self, name: str, rack: str, **settings: str) -> None:
        self._start(name, "worker", "--type", rack.split("-")[0], "--rack", rack, **settings)

    @property
    def port(self) -> int:
        """That of all gateways."""
        return self.gateways[0].port

    @property
    def addresses(self) -> list[str]:
        """Those of the gateways."""
        return [gateway.host for gateway in self.gateways]

    def wait_until_whole(self) -> None:
        """Waits until every gateway is ready and sees all workers of each rack vote."""
        for gateway in self.gateways:
            ready = lambda at=gateway: at.send("GET", "/ready").status == 200
            until(f"{gateway.url} is ready", ready)
            for rack, workers in self.racks.items():
                whole = lambda at=gateway, rack=rack, n=workers: len(at.voters(rack)) == n
                until(f"{rack} has a leader and {workers} voters", whole)

    def kill(self, name: str) -> None:
        self.nodes[name].kill()

    def revive(self, *names: str) -> None:
        for name in names:
            self.nodes[name].start()
        for name in names:
            self.nodes[name].says("^(ready) ")

    def forget(self, name: str) -> None:
        """Kills a node that does not come back."""
        self.nodes.pop(name).kill()
        self.urls.pop(name)

    def close(self) -> None:
        for node in reversed(self.nodes.values()):
            node.kill()
        self._dir.cleanup()
