"""The HTTP client of all tests. Errors of HTTP are answers too."""

import http.client
import json
from contextlib import closing
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """One answer. Headers are found in any case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def data(self) -> Any:
        """What the envelope of a success holds."""
        assert self.status < 300, f"{self.status} {self.body!r}"
        return self.json()["data"]


def request(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request on a connection, which stays open."""
    headers = dict(headers or {})
    data = None if body is None else json.dumps(body)
    if data is not None:
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


def ask(
    method: str,
    url: str,
    body: Any = None,
    headers: dict[str, str] | None = None,
    timeout: float = 20,
) -> Answer:
    """One request on a connection of its own. Raises OSError when there is no answer."""
    place = urlsplit(url)
    path = place._replace(scheme="", netloc="").geturl()
    with closing(http.client.HTTPConnection(place.netloc, timeout=timeout)) as connection:
        try:
            return request(connection, method, path, body, headers)
        except http.client.HTTPException as error:
            raise OSError(f"{method} {url}: {error!r}") from error
