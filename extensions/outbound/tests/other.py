"""The other service: a server that really listens, and does what a test tells it to."""

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any


class Other:
    """Answers with `statuses` one after another, the last one for ever."""

    def __init__(self) -> None:
        self.statuses = [200]
        self.headers: dict[str, str] = {}
        self.delay = 0.0
        self.port = 0
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.busiest = 0
        self._under_way = 0
        self._lock = Lock()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def methods(self) -> Counter[str]:
        """Return the number of requests by method."""
        return Counter(method for method, _, _ in self.asked)

    def enter(self, method: str, path: str, headers: dict[str, str]) -> int:
        """Note a request, and say what it is answered with."""
        with self._lock:
            self.asked.append((method, path, headers))
            self._under_way += 1
            self.busiest = max(self.busiest, self._under_way)
            return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def leave(self) -> None:
        """Note that it was answered."""
        with self._lock:
            self._under_way -= 1

    def listen(self) -> None:
        """Serve, at the same port as before if there was one."""
        other = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status = other.enter(
                    self.command, self.path, {name.lower(): value for name, value in self.headers.items()}
                )
                time.sleep(other.delay)
                other.leave()
                self.send_response(status)
                for name, value in {"Content-Length": "2", **other.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.answer)
        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Server(ThreadingHTTPServer):
    """Clients that give up break their connections: that is the point here, and nothing to print."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def listening_other() -> Iterator[Other]:
    """Another service, until the block ends."""
    other = Other()
    other.listen()
    try:
        yield other
    finally:
        other.stop()
