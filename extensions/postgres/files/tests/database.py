"""Databases for the tests: a new one for each test, on the server of TEST_DATABASE_URL or on one from a wheel."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]

from dev.servers import postgres
from tests.migrating import migrate


@contextmanager
def databases(directory: Path) -> Iterator[Callable[[], str]]:
    """Yields a function that makes a migrated database and returns its URL. All of them are dropped in the end."""
    with ExitStack() as stack:
        given = os.environ.get("TEST_DATABASE_URL", "").replace("+asyncpg", "")
        server = given or stack.enter_context(postgres.serve(directory / "postgres"))
        path, _, query = server.partition("?")
        base = path.rpartition("/")[0]
        made: list[str] = []

        def url(name: str) -> str:
            return f"{base}/{name}?{query}" if query else f"{base}/{name}"

        def make(template: str = "template0") -> str:
            made.append(f"test_{uuid4().hex}")
            asyncio.run(_execute(server, f'CREATE DATABASE "{made[-1]}" TEMPLATE "{template}"'))
            return made[-1]

        if not given:  # our own server, and what is in it need not survive anything
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                asyncio.run(_execute(server, f"ALTER SYSTEM SET {setting} = off"))
            asyncio.run(_execute(server, "SELECT pg_reload_conf()"))
        migrated = make()
        migrate(url(migrated))
        try:
            yield lambda: url(make(migrated))
        finally:
            for name in made if given else ():
                asyncio.run(_execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
            if not given:
                _end(directory / "postgres" / "postmaster.pid")


def _end(running: Path) -> None:
    """Stop our own server at once: writing out what nobody will read takes it longer than its library waits."""
    os.kill(int(running.read_text().split()[0]), signal.SIGQUIT)
    deadline = time.monotonic() + 30
    while running.exists() and time.monotonic() < deadline:
        time.sleep(0.05)


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
