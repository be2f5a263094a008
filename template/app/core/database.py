"""The database: read-only connections for reads, and for writes a transaction that is committed before the answer."""

import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from app.core import context, migrations, telemetry
from app.core import engine as backend
from app.core.component import Check, Component, State
from app.core.database_errors import ValueRefused
from app.core.engine import DatabaseSettings
from app.core.errors import ConfigurationInvalid, ServiceUnavailable
from app.core.pool import Gate
from app.core.settings import Settings

logger = logging.getLogger(__name__)


class DatabaseUnreachable(ServiceUnavailable):
    """The database does not answer."""

    message = "the database does not answer, try again"


class Database:
    """One engine, and the two ways to use it."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.engine = backend.create(settings)
        self.reads = Gate(settings.pool_size + settings.pool_overflow, settings.pool_timeout)
        self.writes = backend.write_gate(settings) or self.reads
        self._reader = self.engine.execution_options(**backend.READING)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        _observe(self.engine, settings.slow_query)

    @asynccontextmanager
    async def read(self, *, patience: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection for Core `select`s, outside any transaction. `patience`: seconds, for a route that needs longer.

        Raises:
            DatabaseBusy: no connection became free in time.
            DatabaseUnreachable: the server is gone, or does not answer.
        """
        async with self.reads:
            try:
                connection = await self._reader.connect()
            except backend.CANNOT_CONNECT as error:
                raise DatabaseUnreachable from error
            try:
                async with backend.allow(connection, patience, local=False) if patience else nullcontext():
                    yield connection
            finally:
                await connection.close()

    @asynccontextmanager
    async def transaction(self, *, patience: float | None = None) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on any error.

        Raises:
            DatabaseBusy: no connection became free in time.
            DatabaseUnreachable: the server is gone, or does not answer.
        """
        async with self.writes, self._sessions() as session:
            try:
                connection = await session.connection()
            except backend.CANNOT_CONNECT as error:
                raise DatabaseUnreachable from error
            async with backend.allow(connection, patience, local=True) if patience else nullcontext():
                yield session
                for last in request.before_commit if (request := context.current()) else ():
                    await last(session)
                await session.commit()
        await _follow(session)

    async def probe(self, _: State) -> Mapping[str, Any]:
        """The readiness check: one statement over the pool, and what operators want to know.

        Raises:
            ServiceUnavailable: the database does not answer.
        """
        async with self.read() as connection:
            facts = await backend.facts(connection)
        return {"pool": {"size": self.reads.places, "taken": self.reads.taken}, **facts}


async def current_database(request: Request) -> Database:
    """The database of the running service."""
    database: Database = request.state.database
    return database


DatabaseDep = Annotated[Database, Depends(current_database)]
"""`async with database.read() as connection`, and `async with database.transaction() as session`.

Opened in the route, not by a dependency: a request that is refused for its values then costs no connection, and what
stands behind the block is not sent before the commit.
"""


def once_committed(
    session: AsyncSession,
    follow: Callable[[], Awaitable[object]],
    *,
    if_unknown: Callable[[], Awaitable[object]] | None = None,
) -> None:
    """Call something when a transaction is done, and before the request is answered. What it raises, the request meets.

    A process that is killed in between does not call it.
    """
    del if_unknown
    session.info.setdefault("following", []).append(follow)  # SQLAlchemy's after_commit fires at a savepoint too


def emit_once_committed(session: AsyncSession, happened: telemetry.BusinessEvent) -> None:
    """Tell of something that a transaction does when it is done: what is rolled back has not happened."""

    async def tell() -> None:
        telemetry.emit(happened)

    once_committed(session, tell)


async def _follow(session: AsyncSession) -> None:
    failed: Exception | None = None
    for follow in session.info.pop("following", ()):
        try:
            await follow()
        except Exception as error:  # noqa: BLE001  # raised below: it is no reason to leave the others out
            failed = failed or error
    if failed is not None:
        raise failed


def component(settings: Settings) -> Component:
    """Opens the database, and refuses to start on one that is unreachable or of another revision."""
    database = Database(settings.of(DatabaseSettings))

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        try:
            await _verify(database)
            yield {"database": database}
        finally:
            await database.engine.dispose()

    return Component(
        name="database", lifespan=lifespan, checks=[Check(name="database", probe=database.probe, timeout=3.0)]
    )


async def _verify(database: Database) -> None:
    try:
        async with database.read() as connection:
            await backend.verify(connection)
            await migrations.verify(connection)
    except (ServiceUnavailable, SQLAlchemyError) as error:
        raise unusable(database.engine, error) from error


def unusable(engine: AsyncEngine, error: Exception) -> ConfigurationInvalid:
    """What to say of a database that cannot be opened."""
    where = engine.url.render_as_string(hide_password=True)
    cause = error.__cause__ if isinstance(error, ServiceUnavailable) else error
    why = str(cause.orig if isinstance(cause, DBAPIError) else cause) or type(cause).__name__
    return ConfigurationInvalid(f"DATABASE__URL: cannot use {where} ({why}): make it work, or name another one")


# Catches slips of the pen; it is no lock: a `WITH` can hide a write.
_WRITES = re.compile(r"\s*(?:insert|update|delete|replace|merge|truncate|create|alter|drop)\b", re.IGNORECASE)


def _observe(engine: AsyncEngine, slow: float) -> None:
    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def before(connection: Any, _: Any, statement: str, __: Any, context: Any, ___: Any) -> None:
        if connection.get_execution_options().get("read_only") and _WRITES.match(statement):
            raise RuntimeError(f"a connection from read() does not write: use a session for {statement.split()[0]}")
        context.started = time.perf_counter()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def after(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: Any) -> None:
        duration = time.perf_counter() - context.started
        if duration >= slow:
            logger.warning("slow query", extra={"duration": round(duration, 6), "statement": statement[:1000]})
        if telemetry.anyone_listens_to(telemetry.QueryFinished):
            telemetry.emit(telemetry.QueryFinished(statement.split(maxsplit=1)[0].upper(), duration, statement))

    @event.listens_for(engine.sync_engine, "handle_error")
    def translate(context: ExceptionContext) -> BaseException | None:
        # The driver gives up by itself: that error is none of the database's own, and the connection is of no more use.
        if isinstance(context.original_exception, TimeoutError | OSError):
            context.is_disconnect = True
            unreachable = DatabaseUnreachable()
            unreachable.__cause__ = context.original_exception
            return unreachable
        if isinstance(context.original_exception, OverflowError):  # an integer or a date that the driver cannot send
            return ValueRefused()
        return None
