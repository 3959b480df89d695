"""One mesh that is used and watched, for all tests of a run: it takes a while until everything
that alerts and dashboards ask for is there."""

import atexit
import os
from functools import cache
from pathlib import Path

from .loopback import BOOK_RACK, ORDER_RACK, Mesh
from .users import Users
from .waiting import until
from .watch import Watch

JOBS = {"ork": "wrk-ork", "book": "wrk-book", "order": "wrk-order", "gateway": "app-node"}

# Twice what DiskNearlyFull calls nearly full, and more; it takes memory only as far as it is used.
SMALL_DISK = 'mount -t tmpfs -o size=400m tmpfs "$DATA_DIR" && exec "$@"'
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


class WatchedMesh(Mesh):
    """Three workers of a book rack, one of an order rack with a small disk, one gateway."""

    def __init__(self) -> None:
        under = {"order-1": SMALL_DISK, "gateway-1": LIMITS}
        super().__init__(
            gateways=1, racks={BOOK_RACK: 3, ORDER_RACK: 1},
            under={name: in_mounts_of_its_own(script) for name, script in under.items()},
        )

    def targets(self) -> dict[str, list[str]]:
        """By job: where the nodes answer Prometheus, be they there or not."""
        found: dict[str, list[str]] = {job: [] for job in JOBS.values()}
        for name, url in self.urls.items():
            found[JOBS[name.split("-")[0]]].append(url.removeprefix("http://"))
        return found

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
        return Path(f"/proc/{worker.pid}/root{worker.env['DATA_DIR']}/ballast")


class Watched:
    def __init__(self) -> None:
        self.mesh = WatchedMesh()
        self._ends = [self.mesh.close]
        try:
            self.users = Users(self.mesh.gateways[0])
            self._ends.append(self.users.stop)
            self.watch = Watch(self.mesh.directory, self.mesh.targets())
            self._ends.append(self.watch.end)
            nodes = sum(map(len, self.mesh.targets().values()))
            until(
                "all nodes are scraped",
                lambda: len(self.watch.query('up{job=~"wrk-.+|app-node"} == 1')) == nodes,
            )
        except BaseException:
            self.end()
            raise

    def wait_for_evaluations(self, count: int) -> None:
        """Waits until all rules were evaluated so many times."""
        done = "min(prometheus_rule_group_iterations_total)"

        def evaluated() -> float:
            found = self.watch.query(done)
            return float(found[0]["value"][1]) if found else 0.0

        wanted = evaluated() + count
        until(f"{count} evaluations", lambda: evaluated() >= wanted)

    def end(self) -> None:
        for end in reversed(self._ends):
            end()
        self._ends = []


@cache
def watched() -> Watched:
    """The mesh of this run. It ends with the process."""
    found = Watched()
    atexit.register(found.end)
    return found
