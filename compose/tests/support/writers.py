"""Writers that go on whatever happens, and remember what was acknowledged."""

import collections
import threading
import time
import uuid

from .gateway import Gateway

# What a gateway may answer while a rack has no leader or a node is away: the same is sent again.
PASSING = (429, 500, 502, 503, 504)
PAUSE = 0.01


class Writers:
    """Several writers, each with one write under way. Every book has a name of its own, and is
    sent with a key of its own until it is acknowledged."""

    def __init__(self, gateway: Gateway, threads: int = 4) -> None:
        self.gateway = gateway
        self.run_id = uuid.uuid4().hex[:8]
        self.acknowledged: dict[int, str] = {}
        self.refused: list[str] = []
        self.sent_again = 0
        self.longest_pause = 0.0
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(n,), daemon=True) for n in range(threads)
        ]

    def __enter__(self) -> "Writers":
        self._last = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def count(self) -> int:
        """How many were acknowledged so far."""
        with self._lock:
            return len(self.acknowledged)

    def check(self) -> int:
        """Every acknowledged write is there, under its id, once; how many there are."""
        assert not any(thread.is_alive() for thread in self._threads), "a write never ended"
        assert not self.refused, self.refused[:3]
        assert self.acknowledged, "nothing was written"
        found = self.gateway.names()
        ours = [(book, name) for book, name in found if name.startswith(self.run_id)]
        lost = set(self.acknowledged.items()) - set(ours)
        assert not lost, f"{len(lost)} acknowledged writes are lost, such as {sorted(lost)[:3]}"
        twice = [n for n, times in collections.Counter(n for _, n in ours).items() if times > 1]
        assert not twice, f"written twice: {twice[:3]}"
        return len(self.acknowledged)

    def _write(self, number: int) -> None:
        written = 0
        while not self._stop.is_set():
            self._one(f"{self.run_id} {number} {written}")
            written += 1
            time.sleep(PAUSE)

    def _one(self, name: str) -> None:
        """Sends one book until it is acknowledged; what is unknown when all is over is not
        counted as acknowledged."""
        key = f"test-{name.replace(' ', '-')}"
        end: float | None = None
        while end is None or time.monotonic() < end:
            try:
                answer = self.gateway.register(name, key)
            except OSError:
                answer = None
            if answer and answer.status == 201:
                self._acknowledged(int(answer.data()["id"]), name)
                return
            if answer and answer.status not in PASSING:
                self.refused.append(f"{name}: {answer.status} {answer.body!r}")
                return
            with self._lock:
                self.sent_again += 1
            if self._stop.is_set() and end is None:
                end = time.monotonic() + 30
            time.sleep(0.1)

    def _acknowledged(self, book: int, name: str) -> None:
        with self._lock:
            now = time.monotonic()
            self.longest_pause = max(self.longest_pause, now - self._last)
            self._last = now
            self.acknowledged[book] = name
