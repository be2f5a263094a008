"""A connection to SQLite that takes one hop to its thread for each statement, where aiosqlite alone takes four."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import aiosqlite


class Connection(aiosqlite.Connection):
    """The connection of aiosqlite, with another cursor."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, iter_chunk_size=0)
        self._thread.daemon = True  # a connection that is still open does not keep the process alive

    async def opened(self) -> "Connection":
        """Connect. If that fails, wait for the end of the thread, which still reports to the event loop."""
        try:
            await self
        except BaseException:
            await asyncio.to_thread(self._thread.join)
            raise
        return self

    def cursor(self) -> "Cursor":  # type: ignore[override]
        return Cursor(self)

    async def run(self, method: str, statement: str, parameters: Any) -> tuple[sqlite3.Cursor, list[Any]]:
        """Run a statement in the thread of this connection, and fetch all its rows."""

        def run() -> tuple[sqlite3.Cursor, list[Any]]:
            cursor: sqlite3.Cursor = getattr(self._conn, method)(statement, parameters)
            return cursor, cursor.fetchall()

        result: tuple[sqlite3.Cursor, list[Any]] = await self._execute(run)  # type: ignore[no-untyped-call]
        return result


class Cursor:
    """A cursor as SQLAlchemy expects it from an asyncio driver. All rows come back with the statement."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: Iterator[Any] = iter(())
        self.description: Any = None
        self.rowcount, self.lastrowid, self.arraysize = -1, 0, 1

    async def __aenter__(self) -> "Cursor":
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await self._run("execute", statement, parameters)

    async def executemany(self, statement: str, parameters: Any) -> None:
        """Run a statement once for each set of parameters."""
        await self._run("executemany", statement, parameters)

    async def _run(self, method: str, statement: str, parameters: Any) -> None:
        done, rows = await self._connection.run(method, statement, parameters)
        self._rows, self.description = iter(rows), done.description
        self.rowcount, self.lastrowid = done.rowcount, done.lastrowid or 0

    async def fetchone(self) -> Any:
        """Return the next row, or nothing at the end."""
        return next(self._rows, None)

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        return list(islice(self._rows, size or self.arraysize))

    async def fetchall(self) -> list[Any]:
        return list(self._rows)

    async def close(self) -> None:
        self._rows = iter(())
