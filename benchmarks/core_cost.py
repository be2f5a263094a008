"""CPU time that the core adds to a request over bare FastAPI, in process and in the same run (row P4).

Run with the Python of a rendered service and its folder as the first argument; prints one JSON object.
"""

import json
import os
import sys
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

import uvloop
from fastapi import APIRouter, FastAPI

REQUESTS = 2000
ROUNDS = 15
HEADERS = [(b"host", b"service"), (b"user-agent", b"wrk"), (b"accept", b"*/*")]


def route() -> APIRouter:
    """The one route that is asked: the same for everybody."""
    router = APIRouter()

    @router.get("/ping")
    async def ping() -> dict[str, str]:
        return {"answer": "pong"}

    return router


def applications(service: Path) -> dict[str, Any]:
    """Bare FastAPI, and the shipped service with production's settings, each with the route."""
    os.chdir(service)
    sys.path.insert(0, str(service))
    os.environ |= {"SERVICE__ENVIRONMENT": "production", "DATABASE__URL": "sqlite+aiosqlite:///./var/service.db"}
    from app.core.component import Component
    from app.main import create_app, default_components, load_settings

    bare = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
    bare.include_router(route())
    settings = load_settings()
    full = create_app([*default_components(settings), Component(name="ping", routers=[route()])], settings)
    return {"bare": bare, "core": full}


async def ask(app: Any) -> None:
    """One request, without a server."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/ping",
        "raw_path": b"/ping",
        "query_string": b"",
        "headers": HEADERS,
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
        "state": {},
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"the request was answered with {message['status']}")

    await app(scope, receive, send)


async def measure(apps: dict[str, Any]) -> dict[str, float]:
    """Microseconds of CPU per request, the median of interleaved rounds."""
    taken: dict[str, list[float]] = {name: [] for name in apps}
    for number in range(ROUNDS + 1):
        for name, app in apps.items():
            started = process_time()
            for _ in range(REQUESTS):
                await ask(app)
            if number:  # the first round warms up
                taken[name].append((process_time() - started) / REQUESTS * 1e6)
    return {name: round(median(values), 1) for name, values in taken.items()}


def main() -> None:
    """Measure, with the access log thrown away, and print."""
    out = sys.stdout
    with Path(os.devnull).open("w") as nowhere:
        sys.stdout = nowhere
        found = uvloop.run(measure(applications(Path(sys.argv[1]).resolve())))
        sys.stdout = out
    out.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
