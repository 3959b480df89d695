"""Processes on loopback that a test starts, watches and ends."""

import atexit
import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

from .waiting import PATIENCE_S, until

REPOSITORY = Path(__file__).resolve().parents[3]


class Ended(Exception):
    """A process that was to run is gone: there is nothing to wait for any more."""


class Process:
    """A program that runs until it is ended. What it says is in files. As another `user` it has
    nothing but its directory."""

    def __init__(
        self, name: str, directory: Path, command: list[str], env: dict[str, str],
        user: int | None = None,
    ) -> None:
        self.name, self.command, self.env = name, command, env
        self.directory, self.user = directory, user
        self.out, self.err = directory / f"{name}.out", directory / f"{name}.err"
        self.start()

    def start(self) -> None:
        """Starts it, for the first time or again."""
        with self.out.open("wb") as out, self.err.open("ab") as err:
            if self.user is not None:
                for path in (self.directory, *self.directory.iterdir()):
                    os.chown(path, self.user, self.user)
            self.child = subprocess.Popen(
                self.command, cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err, user=self.user, group=self.user,
                extra_groups=None if self.user is None else [],
            )
        _running.add(self)

    @property
    def pid(self) -> int:
        return self.child.pid

    def log(self) -> str:
        """The end of what it logged."""
        return "\n".join(self.err.read_text(errors="replace").splitlines()[-60:])

    def must_run(self) -> None:
        code = self.child.poll()
        if code is not None:
            raise Ended(f"{self.name} ended with {code}:\n{self.log()}")

    def says(self, pattern: str) -> str:
        """The first group of a pattern, once it stands in what it printed."""

        def look() -> str | None:
            self.must_run()
            found = re.search(pattern, self.out.read_text(), re.MULTILINE)
            return found and found[1]

        return until(f"{self.name} says {pattern}", look)

    def stop(
        self, by: signal.Signals = signal.SIGTERM, within_s: float = PATIENCE_S
    ) -> None:
        """Ends it; it is a failure when it has to be killed for that."""
        if self.child.poll() is None:
            self.child.send_signal(by)
        try:
            self.child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise
        finally:
            _running.discard(self)

    def kill(self) -> None:
        """As the kernel ends what uses too much memory."""
        self.stop(signal.SIGKILL)

    def end(self) -> None:
        """Asks it to end, and insists after a while."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop(within_s=10)


_running: set[Process] = set()


def _end_all() -> None:
    # unittest that is interrupted runs no cleanups.
    for process in list(_running):
        process.end()


atexit.register(_end_all)


def bookmesh() -> str:
    """The binary under test."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    binary = Path(os.environ.get("BOOKMESH_BIN", target / "debug/bookmesh")).absolute()
    if not binary.is_file():
        raise AssertionError(f"{binary} is not there: cargo build -p bookmesh-node makes it")
    return str(binary)
