"""Requests to the shipped service without a server: what one more thing that a route asks for costs."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from subprocess import PIPE, Popen
from time import process_time
from typing import Any

REQUESTS = 1500
ROUNDS = 15

SWALLOW = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""

Headers = list[tuple[bytes, bytes]]


def enter(service: Path, **settings: str) -> None:
    """Make a rendered service importable, with production's settings."""
    os.chdir(service)
    sys.path.insert(0, str(service))
    os.environ |= {"SERVICE__ENVIRONMENT": "production", "DATABASE__URL": "sqlite+aiosqlite:///./var/service.db"}
    os.environ |= settings


async def ask(app: Any, state: dict[str, Any], path: str, headers: Headers) -> None:
    """One request. Anything but a 200 is an error."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"service"), (b"accept", b"*/*"), *headers],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
        "state": dict(state),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"{path} was answered with {message['status']}")

    await app(scope, receive, send)


async def added(router: Any, state: dict[str, Any], cases: Mapping[str, tuple[str, Headers]]) -> dict[str, float]:
    """Microseconds of CPU that each case takes beyond the first: the median of interleaved rounds."""
    from app.core.component import Component
    from app.main import create_app, default_components, load_settings

    settings = load_settings()
    app = create_app([*default_components(settings), Component(name="benchmark", routers=[router])], settings)
    taken: dict[str, list[float]] = {name: [] for name in cases}
    with redirect_stdout(StringIO()):  # the access log
        for number in range(ROUNDS + 1):
            for name, (path, headers) in cases.items():
                started = process_time()
                for _ in range(REQUESTS):
                    await ask(app, state, path, headers)
                if number:  # the first round warms up
                    taken[name].append((process_time() - started) / REQUESTS * 1e6)
    medians = {name: median(values) for name, values in taken.items()}
    base = next(iter(medians.values()))
    return {name: round(value - base, 1) for name, value in list(medians.items())[1:]}


async def while_open(
    router: Any, state: dict[str, Any], path: str, cases: Mapping[str, Any], clock: Callable[[], float] = process_time
) -> dict[str, float]:
    """Microseconds of CPU that a request takes more while a component is open: the median of interleaved rounds."""
    from app.core.component import Component
    from app.main import create_app, load_settings

    app = create_app([Component(name="benchmark", routers=[router])], load_settings())
    taken: dict[str, list[float]] = {name: [] for name in cases}

    async def once() -> float:
        started = clock()
        for _ in range(REQUESTS):
            await ask(app, state, path, [])
        return (clock() - started) / REQUESTS * 1e6

    with redirect_stdout(StringIO()):  # the access log
        for number in range(ROUNDS + 1):
            for name, component in cases.items():
                without = await once()
                async with component.lifespan(state):
                    beside = await once()
                if number:  # the first round warms up
                    taken[name].append(beside - without)
    return {name: round(median(values), 1) for name, values in taken.items()}


@contextmanager
def swallowing() -> Iterator[int]:
    """The port of a server in another process that takes whatever it is sent."""
    with Popen([sys.executable, "-c", SWALLOW], stdout=PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())  # type: ignore[union-attr]
        finally:
            process.kill()
