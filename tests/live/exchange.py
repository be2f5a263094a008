"""HTTP byte by byte: what clients send that no library would."""

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """A response. Status 0 where the connection ended without one."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def connect(port: int) -> socket.socket:
    """A connection whose waits are bounded."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.settimeout(20)
    return connection


def read_all(connection: socket.socket) -> Answer:
    """Read until the server closes, or has sent what it announced."""
    started = time.monotonic()
    received = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(65536):
            received += part
            head, end, body = received.partition(b"\r\n\r\n")
            length = _headers(head).get("content-length")
            if end and length is not None and len(body) >= int(length):
                break
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    status = int(words[1]) if len(words) > 1 else 0
    return Answer(status, _headers(head), body, time.monotonic() - started)


def send(port: int, *parts: bytes, pause: float = 0.0) -> Answer:
    """Send parts with a pause before each but the first, and read the answer."""
    with connect(port) as connection:
        started = time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):
            for number, part in enumerate(parts):
                if number:
                    time.sleep(pause)
                connection.sendall(part)
        answer = read_all(connection)
        return Answer(answer.status, answer.headers, answer.body, time.monotonic() - started)


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
