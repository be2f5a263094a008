"""Cost of a request of the sample slice, in process: run by `data.py` with the Python and the folder of a service.

Prints one JSON object: microseconds of CPU, and milliseconds from call to answer, for each operation.
"""

import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import uvloop

NUMBERS = {"read": 600, "list": 200, "create": 300}
SEEDED = 100


async def ask(app: Any, state: dict[str, Any], method: str, target: str, content: bytes = b"") -> None:
    """One request, without a server."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"service"), (b"content-type", b"application/json")],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
        "state": dict(state),
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] not in {200, 201}:
            raise RuntimeError(f"{method} {target} was answered with {message['status']}")

    await app(scope, receive, send)


async def measure() -> dict[str, list[float]]:
    """Each operation so many times, one after the other."""
    from app.main import create_app, default_components, load_settings

    settings = load_settings()
    app = create_app(default_components(settings), settings)
    mark = f"{os.getpid()}-{perf_counter()}"

    async def create(state: dict[str, Any], number: int) -> None:
        line = {"sku": "bolt", "quantity": number + 1, "unit_price": 5}
        body = {"reference": f"{mark}-{number}", "lines": [line, {**line, "sku": "nut"}]}
        await ask(app, state, "POST", "/api/v1/orders", json.dumps(body).encode())

    found: dict[str, list[float]] = {}
    async with app.router.lifespan_context(app) as opened:
        state = dict(opened or {})
        for number in range(SEEDED):
            await create(state, -number - 1 + SEEDED)
        mark += "-measured"
        for name, times in NUMBERS.items():
            cpu, clock = process_time(), perf_counter()
            for number in range(times):
                if name == "create":
                    await create(state, number)
                else:
                    target = f"/api/v1/orders/{number % SEEDED + 1}" if name == "read" else "/api/v1/orders?size=100"
                    await ask(app, state, "GET", target)
            found[name] = [(process_time() - cpu) / times * 1e6, (perf_counter() - clock) / times * 1e3]
    return found


def main() -> None:
    """Measure, with the log thrown away, and print."""
    sys.path.insert(0, str(Path.cwd()))
    out = sys.stdout
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        found = uvloop.run(measure())
        sys.stdout = out
    out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
