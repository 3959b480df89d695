"""A mesh of separate processes on loopback that can be hurt: what Prometheus watches in tests."""

import os
import secrets
import signal
import threading
from pathlib import Path

from .processes import Process, ask, bookmesh
from .waiting import until

BOOK_RACK, ORDER_RACK = "book-rack-001", "order-rack-001"
JOBS = {"ork": "wrk-ork", "book": "wrk-book", "order": "wrk-order", "gateway": "app-node"}

# Twice what DiskNearlyFull calls nearly full, and more; it takes memory only as far as it is used.
SMALL_DISK_MIB = 400
# What a container of half a core and 512 MiB sees, by either version of control groups.
LIMITS = """
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p /sys/fs/cgroup/memory /sys/fs/cgroup/cpu
cd /sys/fs/cgroup
echo 536870912 | tee memory.max >memory/memory.limit_in_bytes
echo '50000 100000' >cpu.max
echo 50000 >cpu/cpu.cfs_quota_us
echo 100000 >cpu/cpu.cfs_period_us
cd - >/dev/null
exec "$@"
"""


def in_mounts_of_its_own(script: str) -> list[str]:
    """What runs a command after a script whose mounts nobody else sees."""
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *as_root, "--mount", "sh", "-ec", script, "sh"]


class Mesh:
    """One orchestrator, three workers of a book rack, one of an order rack, one gateway."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key = secrets.token_hex(32)
        self.nodes: dict[str, Process] = {}
        self.bootstrap = ""
        self.urls: dict[str, str] = {}

    def start(self) -> None:
        self._node("ork", ["ork"])
        p2p = self.nodes["ork"].says(r"^ready .*p2p=([^ ,]+)")
        # Its address alone: a peer id at its end would tie the mesh to this process's key.
        self.bootstrap = p2p.split("/p2p/")[0]
        for number in (1, 2, 3):
            self._node(f"book-{number}", ["worker", "--type", "book", "--rack", BOOK_RACK])
        data = self.directory / "order-1-data"
        data.mkdir()
        mount = f'mount -t tmpfs -o size={SMALL_DISK_MIB}m tmpfs "{data}" && exec "$@"'
        self._node(
            "order-1", ["worker", "--type", "order", "--rack", ORDER_RACK],
            in_mounts_of_its_own(mount),
        )
        self._node("gateway", ["gateway"], in_mounts_of_its_own(LIMITS))
        self.wait_until_whole()

    def _node(
        self, name: str, arguments: list[str], under: list[str] | None = None, **more: str
    ) -> None:
        env = {
            "PATH": os.environ["PATH"], "HOST": "127.0.0.1", "PORT": "0",
            "P2P_HOST": "127.0.0.1", "P2P_PORT": "0", "MDNS": "off", "LOG_LEVEL": "info",
            "MESH_KEY": self.key, "DATA_DIR": str(self.directory / f"{name}-data"), **more,
        }
        if self.bootstrap:
            env["BOOTSTRAP"] = self.bootstrap
        command = [*(under or []), bookmesh(), *arguments]
        node = self.nodes[name] = Process(name, self.directory, command, env)
        self.urls[name] = node.says(r"^ready .*http=(\S+)")
        # What comes back has the port that it had.
        env["PORT"] = self.urls[name].rsplit(":", 1)[1]

    def add_worker(self, name: str, rack: str) -> None:
        self._node(name, ["worker", "--type", "book", "--rack", rack], RACK_REPLICAS="1")

    def targets(self) -> dict[str, list[str]]:
        """By job: where the nodes answer Prometheus, be they there or not."""
        found: dict[str, list[str]] = {job: [] for job in JOBS.values()}
        for name, url in self.urls.items():
            found[JOBS[name.split("-")[0]]].append(url.removeprefix("http://"))
        return found

    @property
    def url(self) -> str:
        return self.urls["gateway"]

    def voters(self, rack: str) -> int:
        """Voters that answer its leader, 0 without one."""
        shown = ask(f"{self.url}/racks/{rack}").json()["data"]
        voters = [member for member in shown["members"] if member["role"] == "voter"]
        alive = [voter for voter in voters if voter["state"] != "unreachable"]
        return len(alive) if shown["leader"] else 0

    def wait_until_whole(self) -> None:
        for rack, voters in ((BOOK_RACK, 3), (ORDER_RACK, 1)):
            until(
                f"{rack} has a leader and {voters} voters",
                lambda rack=rack, voters=voters: self.voters(rack) == voters,
            )

    def kill(self, name: str) -> None:
        self.nodes[name].kill()

    def revive(self, *names: str) -> None:
        for name in names:
            self.nodes[name].start()
        for name in names:
            self.nodes[name].says("^(ready) ")

    def fill_disk(self, free_mib: int) -> None:
        """Leaves so much free on the order worker's disk, whatever was free before."""
        ballast = self._ballast()
        self.empty_disk()
        space = os.statvfs(ballast.parent)
        take = space.f_bavail * space.f_frsize - free_mib * 1024 * 1024
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, take)

    def empty_disk(self) -> None:
        self._ballast().unlink(missing_ok=True)

    def _ballast(self) -> Path:
        worker = self.nodes["order-1"]
        return Path(f"/proc/{worker.pid}/root{self.directory}/order-1-data/ballast")

    def end(self) -> None:
        for node in self.nodes.values():
            if node.child.poll() is None:
                node.child.send_signal(signal.SIGCONT)
                node.kill()


class Users:
    """They read a book, order it, write another, and lose their way, over and over."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        added = until("a first book", self._add)
        self.book = int(added.json()["data"]["id"])
        self.done = threading.Event()
        self.loops = [threading.Thread(target=self._loop, args=(one,), daemon=True) for one in (
            lambda: ask(f"{mesh.url}/books/{self.book}"),
            self._order,
            self._add,
            lambda: ask(f"{mesh.url}/nowhere"),
        )]
        for loop in self.loops:
            loop.start()

    def _add(self):
        info = {"name": "A book of a test", "author": "Somebody"}
        answer = ask(f"{self.mesh.url}/books", {"type": "book", "tags": ["test"], "info": info})
        return answer if answer.status == 201 else None

    def _order(self):
        return ask(f"{self.mesh.url}/v1/orders", {"book_id": self.book, "quantity": 1})

    def _loop(self, act) -> None:
        while not self.done.wait(0.1):
            try:
                act()
            except OSError:
                pass  # The gateway is gone: that is what is tested.

    def stop(self) -> None:
        self.done.set()
        for loop in self.loops:
            loop.join()
