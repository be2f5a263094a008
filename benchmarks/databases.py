"""Reads and writes of the sample slice over HTTP, beside naive FastAPI and the SQLAlchemy ORM (rows P2, P3 and P5).

`python -m benchmarks.databases` measures it alone. All servers are asked in turn, in one run, by 32 clients.
"""

import asyncio
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import psutil

from benchmarks.throughput import served
from tests.live import postgres
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered, free_port
from tests.render import render

CONNECTIONS = 32
SECONDS = 2.0
ROUNDS = 3
SEEDED = 200
LEAST = {
    "sqlite": {"read": 1.3, "list": 1.2, "create": 1.3},
    "postgres": {"read": 1.4, "list": 1.2, "create": 1.0},
}
"""Requests a second, as a multiple of the naive service's."""
Measured = dict[str, dict[str, tuple[float, float, float, float]]]
"""For each database and operation: requests a second and microseconds of CPU, of the naive service and of this one."""
_numbers = itertools.count()


def _request(operation: str) -> bytes:
    number = next(_numbers)
    if operation == "create":
        line = {"sku": "bolt", "quantity": number % 100 + 1, "unit_price": 5}
        body = json.dumps({"reference": f"{time.time_ns()}-{number}", "lines": [line, {**line, "sku": "nut"}]})
        head = f"POST /api/v1/orders HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return f"{head}Host: service\r\n\r\n{body}".encode()
    path = f"/{number % SEEDED + 1}" if operation == "read" else "?size=100"
    return f"GET /api/v1/orders{path} HTTP/1.1\r\nHost: service\r\n\r\n".encode()


async def _client(port: int, operation: str, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    done = 0
    while time.monotonic() < until:
        writer.write(_request(operation))
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        done += head.split(maxsplit=2)[1] in {
            b"200",
            b"201",
        }  # "database is locked" of the naive service does not count
    writer.close()
    return done


async def _load(port: int, operation: str, seconds: float, clients: int) -> int:
    until = time.monotonic() + seconds
    return sum(await asyncio.gather(*(_client(port, operation, until) for _ in range(clients))))


def _seed(port: int) -> None:
    while asyncio.run(_load(port, "create", 0.5, 4)) < 1:
        pass
    created = 0
    while created < SEEDED:
        created += asyncio.run(_load(port, "create", 0.5, 4))


def measure(databases: tuple[str, ...] = ("sqlite", "postgres")) -> Measured:
    """Interleaved rounds, and the median of each."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, ExitStack() as stack:
        server = stack.enter_context(postgres.serve()) if "postgres" in databases else None
        return {name: _measure(name, Path(folder), server.database if server else None, stack) for name in databases}


def _urls(name: str, folder: Path, database: Callable[[], str] | None) -> Iterator[str]:
    for owner in ("naive", "service"):
        if database is None or name == "sqlite":
            yield f"sqlite+aiosqlite:///{folder}/{owner}.db"
        else:
            yield database().replace("postgresql://", "postgresql+asyncpg://")


def _measure(
    name: str, folder: Path, database: Callable[[], str] | None, stack: ExitStack
) -> dict[str, tuple[float, float, float, float]]:
    python = interpreter(DEFAULT, development=False)
    root = render(folder / name, {"database": name, "extensions": []})
    urls = list(_urls(name, folder, database))
    processes: dict[int, psutil.Process] = {}
    service = Rendered(root, python, database=urls[1])
    service.migrate()
    ports = [free_port(), free_port()]
    naive: list[str | Path] = [python, "-m", "uvicorn", "naive:app", f"--port={ports[0]}", "--no-access-log"]
    naive.append(f"--app-dir={Path(__file__).parent}")
    other = Rendered(root, python, database=urls[0])
    processes[ports[0]] = stack.enter_context(served(naive, other, {}, ports[0]))
    settings = {"SERVER__PORT": str(ports[1])}
    processes[ports[1]] = stack.enter_context(served([python, "-m", "app"], service, settings, ports[1]))
    for process in processes.values():
        process.cpu_affinity([0])
    for port in ports:
        _seed(port)
    found = {}
    for operation in LEAST[name]:
        taken: dict[int, list[tuple[float, float]]] = {port: [] for port in ports}
        for number in range(ROUNDS + 1):
            for port, process in processes.items():
                before = sum(process.cpu_times()[:2])
                answered = asyncio.run(_load(port, operation, SECONDS, CONNECTIONS))
                used = sum(process.cpu_times()[:2]) - before
                if number:  # the first round warms up
                    taken[port].append((answered / SECONDS, used / answered * 1e6))
        found[operation] = tuple(
            round(median(values), 1) for port in ports for values in zip(*taken[port], strict=True)
        )
    return found


def rows(measured: Measured) -> str:
    """The lines of the page."""
    return "".join(
        f"| {operation}, {name} | {rate:.0f} requests/s, {cpu:.0f} µs of CPU, FastAPI and SQLAlchemy ORM "
        f"| {our_rate:.0f} requests/s, {our_cpu:.0f} µs | {our_rate / rate:.2f} times "
        f"| {LEAST[name][operation]:g} times at least |\n"
        for name, operations in measured.items()
        for operation, (rate, cpu, our_rate, our_cpu) in operations.items()
    )


def held(measured: Measured) -> bool:
    """Return whether every target is reached."""
    return all(
        our_rate / rate >= LEAST[name][operation]
        for name, operations in measured.items()
        for operation, (rate, _, our_rate, _) in operations.items()
    )


if __name__ == "__main__":
    print(rows(measure(tuple(sys.argv[1:]) or ("sqlite", "postgres"))))
