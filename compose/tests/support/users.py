"""Users of a mesh that go on whatever happens."""

import threading

from .client import Answer
from .gateway import Gateway, book
from .waiting import until


class Users:
    """They read a book, order it, write another, and lose their way, over and over."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        added = until("a first book", lambda: (answer := self._add()).status == 201 and answer)
        self.book = int(added.data()["id"])
        self.done = threading.Event()
        self.loops = [threading.Thread(target=self._loop, args=(one,), daemon=True) for one in (
            lambda: gateway.send("GET", f"/books/{self.book}", timeout=20),
            self._order,
            self._add,
            lambda: gateway.send("GET", "/nowhere"),
        )]
        for loop in self.loops:
            loop.start()

    def _add(self) -> Answer:
        return self.gateway.send("POST", "/books", book("A book of a test"), timeout=20)

    def _order(self) -> Answer:
        order = {"book_id": self.book, "quantity": 1}
        return self.gateway.send("POST", "/v1/orders", order, timeout=20)

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
