"""Databases for the tests: a new one for each test, on the server of TEST_DATABASE_URL or on one from a wheel."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]

from app.core.data.url import checked, driver_arguments
from dev.servers import postgres


@contextmanager
def databases(directory: Path, migrate: Callable[[str], None]) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Yields a function that opens a migrated database, as its URL. It is dropped when it is left."""
    with ExitStack() as stack:
        given = os.environ.get("TEST_DATABASE_URL", "").replace("+asyncpg", "")
        server = given or stack.enter_context(postgres.serve(directory / "postgres"))
        path, _, query = server.partition("?")
        base = path.rpartition("/")[0]
        cheaply = "" if given else " STRATEGY file_copy"  # PostgreSQL 15 and newer; a checkpoint costs nothing here

        def url(name: str) -> str:
            return f"{base}/{name}?{query}" if query else f"{base}/{name}"

        @contextmanager
        def new(template: str) -> Iterator[str]:
            name = f"test_{uuid4().hex}"
            asyncio.run(_execute(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"{cheaply}'))
            try:
                yield name
            finally:
                asyncio.run(_execute(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))

        @contextmanager
        def new_url() -> Iterator[str]:
            with new(migrated) as name:
                yield url(name)

        if not given:  # our own server, and what is in it need not survive anything
            for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                asyncio.run(_execute(server, f"ALTER SYSTEM SET {setting} = off"))
            asyncio.run(_execute(server, "SELECT pg_reload_conf()"))
        migrated = stack.enter_context(new("template0"))
        migrate(url(migrated))
        yield new_url


async def _execute(server: str, statement: str) -> None:
    connection = await asyncpg.connect(**driver_arguments(checked(server)))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
