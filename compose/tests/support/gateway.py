"""A client of the gateway, from outside."""

import http.client
import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    def data(self) -> Any:
        """What the envelope holds."""
        return json.loads(self.body)["data"]


@dataclass(frozen=True)
class Gateway:
    """The gateway at a published port."""

    port: int
    host: str = "127.0.0.1"

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        timeout: float = 10,
    ) -> Answer:
        """One request on a connection of its own. Raises OSError when there is no answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout)
        try:
            text = None if body is None else json.dumps(body)
            sent = {"Content-Type": "application/json"} | (headers or {})
            connection.request(method, path, body=text, headers=sent)
            answer = connection.getresponse()
            names = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, names, answer.read())
        except http.client.HTTPException as error:
            raise OSError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def get(self, path: str) -> Any:
        """The data of an answer that has to be a success."""
        answer = self.send("GET", path)
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body!r}"
        return answer.data()

    def register(self, name: str, key: str, timeout: float = 10) -> Answer:
        """Registers a book, or the same again under the same key."""
        book = {"info": {"name": name, "author": "A writer of tests"}}
        return self.send("POST", "/books", book, {"Idempotency-Key": key}, timeout)

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
