"""A gateway, as somebody outside asks it."""

from dataclasses import dataclass
from typing import Any

from .client import Answer, ask


def book(name: str) -> dict[str, Any]:
    """A book as `POST /books` takes it."""
    return {"type": "book", "tags": ["test"], "info": {"name": name, "author": "Somebody"}}


@dataclass(frozen=True)
class Gateway:
    """The gateway at a port."""

    port: int
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 10,
    ) -> Answer:
        """One request on a connection of its own. Raises OSError when there is no answer."""
        return ask(method, self.url + path, body, headers, timeout)

    def get(self, path: str) -> Any:
        """The data of an answer that has to be a success."""
        return self.send("GET", path).data()

    def register(self, name: str, key: str, timeout: float = 10) -> Answer:
        """Registers a book, or the same again under the same key."""
        return self.send("POST", "/books", book(name), {"Idempotency-Key": key}, timeout)

    def rack(self, rack: str) -> dict:
        """A rack as `GET /racks/{id}` shows it."""
        return self.get(f"/racks/{rack}")

    def voters(self, rack: str) -> list[dict]:
        """The voters that answer, when the rack has a leader."""
        shown = self.rack(rack)
        members = shown["members"] if shown["leader"] else []
        states = ("leader", "follower")
        return [m for m in members if m["role"] == "voter" and m["state"] in states]

    def names(self) -> list[tuple[int, str]]:
        """Id and name of every book, linearizable, page by page."""
        found: list[tuple[int, str]] = []
        while True:
            after = f"&after={found[-1][0]}" if found else ""
            page = self.get(f"/books?limit=1000{after}")
            found += [(int(book["id"]), book["info"]["name"]) for book in page]
            if len(page) < 1000:
                return found
