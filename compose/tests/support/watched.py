"""One mesh that is used and watched, for all tests of a run: it takes a while until everything
that alerts and dashboards ask for is there."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from .waiting import until
from .watch import Watch
from .watched_mesh import Mesh, Users


class Watched:
    def __init__(self, directory: Path) -> None:
        self.mesh = Mesh(directory)
        self._ends = [self.mesh.end]
        try:
            self.mesh.start()
            self.users = Users(self.mesh)
            self._ends.append(self.users.stop)
            self.watch = Watch(directory, self.mesh.targets())
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
    directory = Path(tempfile.mkdtemp(prefix="bookmesh-watched-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    found = Watched(directory)
    atexit.register(found.end)
    return found
