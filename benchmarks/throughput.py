"""CPU of a request to the `production` preset beside bare FastAPI, over HTTP, in the process that serves it (row P1).

CPU and not time: both servers, the load and the rest of the machine share its cores. Tracing is left out, Sentry sends
errors to a place that swallows them, and the rate limit counts in memory.
"""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from statistics import median

import httpx2
import psutil

from benchmarks.extensions.in_process import swallowing
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, free_port
from tests.render import render

CONNECTIONS = 32
SECONDS = 2.0
ROUNDS = 7
REQUEST = b"GET /api/v1/ping HTTP/1.1\r\nHost: service\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"
PING = '''"""The features of the benchmark: a route that only answers."""

from app.core.component import Component
from app.core.settings import Group, Settings
from app.core.versioning import versioned

router = versioned("ping")
SETTINGS: list[type[Group]] = []


@router.get("")
async def ping() -> dict[str, str]:
    """Answer."""
    return {"answer": "pong"}


def components(_: Settings) -> list[Component]:
    """The one feature."""
    return [Component(name="ping", routers=[router])]
'''


async def one_client(port: int, until: float) -> int:
    """Send one request after the other over one connection, and count them."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.monotonic() < until:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        done += 1
    writer.close()
    return done


async def load(port: int) -> int:
    """Requests that all clients together were answered."""
    until = time.monotonic() + SECONDS
    return sum(await asyncio.gather(*(one_client(port, until) for _ in range(CONNECTIONS))))


@contextmanager
def served(
    command: list[str | Path], service: Rendered, settings: dict[str, str], port: int
) -> Iterator[psutil.Process]:
    """The process of a server that is ready."""
    process = subprocess.Popen(
        command,
        cwd=service.root,
        env=service.environment(settings),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(httpx2.TransportError):
                if httpx2.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200:
                    break
            time.sleep(0.05)
        else:
            raise RuntimeError(f"{command} was not ready within a minute")
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait(timeout=10)


def measure(folder: Path) -> dict[str, float]:
    """Microseconds of CPU that a request takes: the median of interleaved rounds."""
    root = render(folder / "full", {"preset": "production", "database": "sqlite", "sample": False})
    (root / "app" / "features" / "__init__.py").write_text(PING)
    python = interpreter(DEFAULT, development=False)
    service = Rendered(root, python, database=f"sqlite+aiosqlite:///{folder}/full.db")
    service.migrate()
    bare, routed, full = free_port(), free_port(), free_port()
    with ExitStack() as stack:
        settings = {
            "SERVER__PORT": str(full),
            "RATE_LIMIT__ENABLED": "true",  # a service that is tested has it off
            "RATE_LIMIT__PER_MINUTE": "100000000",
            "RATE_LIMIT__PER_HOUR": "100000000",
            "SENTRY__DSN": f"http://key@127.0.0.1:{stack.enter_context(swallowing())}/1",
            "AUDIT__KEY": "0" * 32,
        }
        processes = {full: stack.enter_context(served([python, "-m", "app"], service, settings, full))}
        for name, port in (("app", bare), ("routed", routed)):
            naked: list[str | Path] = [python, "-m", "uvicorn", f"bare:{name}", f"--port={port}", "--no-access-log"]
            naked.append(f"--app-dir={Path(__file__).parent}")
            processes[port] = stack.enter_context(served(naked, service, {}, port))
        taken: dict[int, list[float]] = {port: [] for port in processes}
        for number in range(ROUNDS + 1):
            for port, process in processes.items():
                before = sum(process.cpu_times()[:2])
                answered = asyncio.run(load(port))
                if number:  # the first round warms up
                    taken[port].append((sum(process.cpu_times()[:2]) - before) / answered * 1e6)
    named = {"bare": bare, "routed": routed, "full": full}
    return {name: round(median(taken[port]), 1) for name, port in named.items()}
