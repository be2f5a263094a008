"""The sink: a server that takes envelopes as Sentry does, reads them, and treats senders as a test tells it to."""

import gzip
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

BOUND = 30.0
"""Seconds in which anything that a test waits for has to happen, on a busy machine too."""
Item = dict[str, Any]


class Sink:
    """Keeps every item of every envelope. While `awake` is cleared it takes envelopes and never answers."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b"{}"
        self.headers: dict[str, str] = {}
        self.awake = Event()
        self.awake.set()
        self.asked = 0
        self.paths: set[str] = set()
        self.items: list[tuple[str, Item]] = []
        self.raw = b""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sink.asked += 1
                sink.paths.add(self.path)
                sink.awake.wait()
                sink.raw += body
                sink.items += items(body)
                self.send_response(sink.status)
                for name, value in sink.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sink.answer)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.dsn = f"http://public@127.0.0.1:{self.server.server_port}/7"

    def of(self, kind: str) -> list[Item]:
        """The items of one kind that have come so far."""
        return [item for name, item in self.items if name == kind]

    def wait(self, kind: str = "event", count: int = 1) -> list[Item]:
        """The items of one kind, as soon as there are so many."""
        found: list[Item] = until(lambda: self.of(kind) if len(self.of(kind)) >= count else [])
        return found

    def stop(self) -> None:
        """Refuse connections."""
        self.awake.set()
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    """Senders that give up break their connections: that is the point here, and nothing to print."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


def items(envelope: bytes) -> Iterator[tuple[str, Item]]:
    """Yield an envelope's items with their kinds (https://develop.sentry.dev/sdk/foundations/transport/envelopes/)."""
    _, _, rest = envelope.partition(b"\n")
    while rest.strip():
        head, _, rest = rest.partition(b"\n")
        header = json.loads(head)
        length = header.get("length", rest.find(b"\n"))
        yield header["type"], json.loads(rest[:length])
        rest = rest[length:].removeprefix(b"\n")


def until(found: Any) -> Any:
    """Wait until `found` returns something true, and return it."""
    deadline = time.monotonic() + BOUND
    while not (result := found()):
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.01)
    return result


@contextmanager
def sinking() -> Iterator[Sink]:
    """A sink, until the block ends."""
    sink = Sink()
    Thread(target=sink.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield sink
    finally:
        sink.stop()
