"""A connection to SQLite whose statements take one hop to its thread each: aiosqlite alone takes four."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import aiosqlite

AT_ONCE = 1000
"""Rows that come back with the statement. Only a stream of more goes back to the thread for the rest."""


class Connection(aiosqlite.Connection):
    """The connection of aiosqlite, with another cursor."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connect, AT_ONCE)
        self._thread.daemon = True  # a connection that nobody closed does not hold up the end of the process

    def cursor(self) -> "Cursor":  # type: ignore[override]
        """Return a cursor. It costs nothing before its first statement."""
        return Cursor(self)

    async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a call gives in the thread of this connection."""
        return await self._execute(call, *arguments)  # type: ignore[no-untyped-call]


class Cursor:
    """A cursor as SQLAlchemy takes it from a driver for asyncio."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self._rest: Any = None
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid = 0
        self.arraysize = 1

    async def __aenter__(self) -> "Cursor":
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> None:
        """Run a statement, and fetch its first rows."""
        await self._connection.in_thread(self._run, self._connection._conn.execute, statement, parameters)

    async def executemany(self, statement: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run a statement for each set of parameters."""
        await self._connection.in_thread(self._run, self._connection._conn.executemany, statement, parameters)

    def _run(self, method: Callable[..., Any], statement: str, parameters: Any) -> None:
        cursor = method(statement, parameters)
        self.description = cursor.description
        self._rows = cursor.fetchmany(AT_ONCE) if cursor.description else []
        self._rest = cursor if len(self._rows) == AT_ONCE else None
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid  # known when all rows were fetched

    async def fetchall(self) -> list[Any]:
        """Return all rows that are left."""
        rows, self._rows = self._rows, []
        if self._rest is not None:
            rows += await self._connection.in_thread(self._rest.fetchall)
            self.rowcount, self._rest = self._rest.rowcount, None
        return rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows."""
        size = size or self.arraysize
        if len(self._rows) < size and self._rest is not None:
            self._rows += await self._connection.in_thread(self._rest.fetchmany, max(size, AT_ONCE))
        rows, self._rows = self._rows[:size], self._rows[size:]
        return rows

    async def fetchone(self) -> Any:
        """Return the next row, or nothing at the end."""
        return next(iter(await self.fetchmany(1)), None)

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Yield each row."""
        while rows := await self.fetchmany(AT_ONCE):
            for row in rows:
                yield row

    async def close(self) -> None:
        """Let go of rows that nobody fetched."""
        if self._rest is not None:
            rest, self._rest = self._rest, None
            await self._connection.in_thread(rest.close)
