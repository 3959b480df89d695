"""Waiting for what becomes true, never for time; and a port to do it at."""

import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

# For a machine that is busy; nothing takes that long.
PATIENCE_S = 60.0

T = TypeVar("T")


def until(what: str, look: Callable[[], T | None], deadline: float = PATIENCE_S) -> T:
    """Looks until it sees something; fails with what it saw or met last if it never does."""
    end = time.monotonic() + deadline
    while True:
        seen: Any
        try:
            seen = look()
            if seen:
                return seen
        except (OSError, AssertionError, KeyError, IndexError) as error:
            seen = error
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline:.0f} s, but {seen!r}")
        time.sleep(0.1)


def free_port() -> int:
    """A port that nobody listens on, at any address."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]
