"""Cost of a file, in process: CPU to store one in a directory, beside Starlette's own reading of the same form.

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object, in microseconds.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

PART = 65_536
"""The number of bytes that a server hands over at once."""
ROUNDS = 7


def form(size: int) -> bytes:
    """A form with one file."""
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'
    return head + (b"x" * 99 + b"\n") * (size // 100) + b"\r\n--b--\r\n"


async def cost(app: Any, state: dict[str, Any], path: str, size: int, times: int) -> float:
    """Microseconds of CPU of one request: the median of some rounds."""
    body = form(size)
    parts = [body[start : start + PART] for start in range(0, len(body), PART)]

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 201:
            raise RuntimeError(f"the request was answered with {message['status']}")

    def receiving() -> Callable[[], Any]:
        rest = iter(enumerate(parts, start=1))

        async def receive() -> dict[str, Any]:
            number, part = next(rest)
            return {"type": "http.request", "body": part, "more_body": number < len(parts)}

        return receive

    async def ask() -> None:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": [(b"host", b"service"), (b"content-type", b"multipart/form-data; boundary=b")],
            "client": ("127.0.0.1", 40000),
            "server": ("127.0.0.1", 8000),
            "scheme": "http",
            "root_path": "",
            "state": dict(state),
        }
        await app(scope, receiving(), send)

    rounds = []
    for _ in range(ROUNDS + 1):
        started = process_time()
        for _ in range(times):
            await ask()
        rounds.append((process_time() - started) / times * 1e6)
    return round(median(rounds[1:]))


async def measure() -> dict[str, float]:
    """The cost of files of each size."""
    from fastapi import Request

    from app.core import context
    from app.core.component import Component
    from app.core.versioning import versioned
    from app.extensions.uploads import routes
    from app.main import create_app, default_components, load_settings

    plain = versioned("plain")

    @plain.post("", status_code=201)
    async def read(request: Request) -> int:
        current = context.current()
        if current:
            current.body_limit = 20_000_000
        async with request.form() as fields:
            return len(fields)

    settings = load_settings()
    parts = [*default_components(settings), Component(name="benchmark", routers=[routes("files"), plain])]
    app = create_app(parts, settings)
    found = {}
    async with app.router.lifespan_context(app) as state:
        for name, size, times in (("10 kB", 10_000, 50), ("1 MB", 1_000_000, 10), ("10 MB", 10_000_000, 2)):
            found[name] = await cost(app, dict(state or {}), "/api/v1/files", size, times)
            found[f"{name}, Starlette's form"] = await cost(app, dict(state or {}), "/api/v1/plain", size, times)
    return found


def main() -> None:
    """Measure, with the access log thrown away, and print."""
    service = Path(sys.argv[1]).resolve()
    os.chdir(service)
    sys.path[0] = str(service)  # in place of this folder, whose files are named like libraries
    out = sys.stdout
    with TemporaryDirectory() as directory, Path(os.devnull).open("w") as nowhere:
        os.environ["UPLOADS__DIRECTORY"] = directory
        sys.stdout = nowhere
        found = asyncio.run(measure())
        sys.stdout = out
    print(json.dumps(found))


if __name__ == "__main__":
    main()
