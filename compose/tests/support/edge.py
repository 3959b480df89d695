"""The shipped nginx.conf on loopback. Only names, ports and places are replaced in it; a small name
server stands for the engine's."""

import http.client
import json
import os
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

from .client import Answer, request
from .processes import REPOSITORY, Process, bookmesh
from .waiting import PATIENCE_S, free_port, until


class Names:
    """A name server that knows one name, as the engine's knows the services of a project."""

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = list(addresses)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                query, client = self.socket.recvfrom(512)
            except OSError:
                return
            question_end = query.index(b"\0", 12) + 5
            wanted = query[12:question_end] == b"\x08gateways\0" + struct.pack("!HH", 1, 1)
            found = self.addresses if wanted else []
            head = struct.pack("!HHHHHH", 0, 0x8180 if found else 0x8183, 1, len(found), 0, 0)
            # The engine's own says ten minutes, too.
            answers = b"".join(
                struct.pack("!HHHIH", 0xC00C, 1, 1, 600, 4) + socket.inet_aton(address)
                for address in found
            )
            reply = query[:2] + head[2:] + query[12:question_end] + answers
            self.socket.sendto(reply, client)

    def close(self) -> None:
        self.socket.close()


class Edge:
    """nginx with the shipped configuration; `rate` is what it takes of one client."""

    def __init__(self, gateways: list[str], gateway_port: int, rate: str = "100r/s") -> None:
        self._dir = tempfile.TemporaryDirectory()
        self.dir = Path(self._dir.name)
        self.names = Names(gateways)
        self.http_port, self.port = free_port(), free_port()
        subprocess.run(
            [bookmesh(), "keys", "cert", "--dir", self.dir, "--host", "localhost,127.0.0.1"],
            check=True, capture_output=True,
        )
        conf = (REPOSITORY / "compose/nginx/nginx.conf").read_text()
        for shipped, here, count in (
            ("listen 8080 ", f"listen 127.0.0.1:{self.http_port} ", 1),
            ("listen 8443 ", f"listen 127.0.0.1:{self.port} ", 1),
            ('"~:8080$"  ":8443"', f'"~:{self.http_port}$"  ":{self.port}"', 1),
            ("resolver 127.0.0.11 ", f"resolver 127.0.0.1:{self.names.port} ", 1),
            ("gateways:3000;", f"gateways:{gateway_port};", 1),
            (" /tmp/", f" {self.dir}/", 6),
            (" unix:/tmp/", f" unix:{self.dir}/", 2),
            (" /certs/", f" {self.dir}/", 2),
            (" rate=100r/s;", f" rate={rate};", 1),
        ):
            assert conf.count(shipped) == count, f"nginx.conf has another number of {shipped}"
            conf = conf.replace(shipped, here)
        (self.dir / "nginx.conf").write_text(conf)
        arguments = ["nginx", "-e", "/dev/stderr", "-c", str(self.dir / "nginx.conf")]
        path = f"{os.environ['PATH']}:/usr/sbin"
        # As in its container it is nobody in particular, and has nothing but this directory.
        user = 65532 if os.geteuid() == 0 else None
        self.process = Process("nginx", self.dir, arguments, os.environ | {"PATH": path}, user)
        self.tls = ssl.create_default_context(cafile=self.dir / "fullchain.pem")
        until("nginx listens", self._listens)

    def _listens(self) -> bool:
        self.process.must_run()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def connect(self, client: str = "127.0.0.1") -> http.client.HTTPSConnection:
        """A connection of a client that has this address."""
        return http.client.HTTPSConnection(
            "127.0.0.1", self.port, context=self.tls, timeout=PATIENCE_S, source_address=(client, 0)
        )

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None,
        client: str = "127.0.0.1",
    ) -> Answer:
        with closing(self.connect(client)) as connection:
            return request(connection, method, path, body, headers)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.out.read_text().splitlines()]

    def close(self) -> None:
        self.process.stop()
        self.names.close()
        self._dir.cleanup()
