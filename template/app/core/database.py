"""The database: read-only connections for reads, and for writes a transaction that is committed before the answer."""

import logging
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from app.core import context, telemetry
from app.core.component import Check, Component, State
from app.core.data import engine as backend
from app.core.data import migrations
from app.core.data.engine import DatabaseSettings
from app.core.data.pool import Gate
from app.core.data.transactions import (
    COMMITTED,
    FOLLOW_UPS,
    REQUEST,
    SAVEPOINT,
    FollowedSession,
    TransactionSession,
    drop_since,
    emit_once_committed,
    follow,
    follow_unknown,
    once_committed,
    to_the_end,
)
from app.core.database_errors import DatabaseUnreachable, ValueRefused
from app.core.errors import ConfigurationInvalid, OutcomeUnknown, ServiceUnavailable
from app.core.settings import Settings

__all__ = [
    "Database",
    "DatabaseDep",
    "DatabaseUnreachable",
    "component",
    "current_database",
    "emit_once_committed",
    "once_committed",
    "unusable",
]
logger = logging.getLogger(__name__)


class Database:
    """One engine, and the ways to use it."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.engine = backend.create(settings)
        self.reads = Gate(settings.pool_size + settings.pool_overflow, settings.pool_timeout)
        self.writes = backend.write_gate(settings) or self.reads
        self._reader = self.engine.execution_options(**backend.READING)
        self._snapshots = self.engine.execution_options(**backend.SNAPSHOT)
        # A session that is used after its block raises an error, in place of a transaction that is never committed.
        self._sessions = async_sessionmaker(
            self.engine,
            class_=TransactionSession,
            sync_session_class=FollowedSession,
            expire_on_commit=False,
            close_resets_only=False,
        )
        _observe(self.engine, settings.slow_query)

    @asynccontextmanager
    async def read(self, *, patience: float | None = None, snapshot: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for Core `select`s. Each of them sees what is committed when it starts.

        Args:
            patience: seconds that a statement may take, for a route that needs longer.
            snapshot: all statements see the database as it was at the first one. This costs a BEGIN and a ROLLBACK,
                so prefer one statement.

        Raises:
            DatabaseBusy: no connection became free in time.
            DatabaseUnreachable: the server is gone, or does not answer.
        """
        async with self.reads:
            try:
                connection = await (self._snapshots if snapshot else self._reader).connect()
            except backend.CANNOT_CONNECT as error:
                raise DatabaseUnreachable from error
            try:
                async with backend.allow(connection, patience, local=snapshot) if patience else nullcontext():
                    yield connection
            finally:
                await connection.close()

    @asynccontextmanager
    async def transaction(
        self, *, patience: float | None = None, bookkeeping: bool = False
    ) -> AsyncIterator[AsyncSession]:
        """A session in one transaction: committed at the end, rolled back on any error.

        A commit that has begun is not cancelled: a request that is given up meanwhile still gets its answer.

        Args:
            patience: seconds that a statement may take, for a route that needs longer.
            bookkeeping: it is no part of what the request stores, so the answer does not depend on its outcome.

        Raises:
            DatabaseBusy: no connection became free in time.
            DatabaseUnreachable: the server is gone, or does not answer. Nothing is stored.
            OutcomeUnknown: the connection was lost during the commit.
            FollowUpFailed: it is stored, and something that follows it failed.
        """
        session: TransactionSession | None = None
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.writes)
                session = await stack.enter_async_context(self._sessions())
                session.info[REQUEST] = None if bookkeeping else context.current()
                self._check_place()
                try:
                    connection = await session.connection()
                except backend.CANNOT_CONNECT as error:
                    raise DatabaseUnreachable from error
                connection.info[SESSION] = session.info
                if patience:
                    await stack.enter_async_context(backend.allow(connection, patience, local=True))
                yield session
                await to_the_end(_finish(session, stack.pop_all()))
        except BaseException as error:
            if session is not None and session.info.get(COMMITTED):  # the block has committed, and failed later
                await to_the_end(follow(session))
            if session is not None and isinstance(error, OutcomeUnknown):
                await to_the_end(follow_unknown(session))
            raise

    def _check_place(self) -> None:
        """Refuse to write to a database that is not the one that was opened."""
        if gone := backend.gone(self.engine):
            raise DatabaseUnreachable from FileNotFoundError(gone)

    async def probe(self, _: State) -> Mapping[str, Any]:
        """The readiness check: one statement over the pool, and what operators want to know.

        Raises:
            ServiceUnavailable: the database does not answer.
        """
        self._check_place()
        async with self.read() as connection:
            facts = await backend.facts(connection)
            await migrations.verify_running(connection)
        return {"pool": {"size": self.reads.places, "taken": self.reads.taken}, **facts}


async def current_database(request: Request) -> Database:
    """The database of the running service."""
    database: Database = request.state.database
    return database


async def _finish(session: TransactionSession, stack: AsyncExitStack) -> None:
    async with stack:  # closed before the follow-ups, which may need the place of a writer themselves
        await session.finish()
    await follow(session)


DatabaseDep = Annotated[Database, Depends(current_database)]
"""`async with database.read() as connection`, and `async with database.transaction() as session`.

Opened in the route, not by a dependency: a request that is refused for its values then costs no connection, and what
stands behind the block is not sent before the commit.
"""


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
_SETS = re.compile(r"\s*(?:set\s+(?!local\b|constraints\b|transaction\b)|pragma\s+[\w.]+\s*[=(])", re.IGNORECASE)
ALTERED, SESSION = "altered", "session"
"""In the `info` of a connection: its settings are no longer the pool's; the `info` of the session that uses it."""


def _observe(engine: AsyncEngine, slow: float) -> None:
    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def before(connection: Any, _: Any, statement: str, __: Any, context: Any, ___: Any) -> None:
        if connection.get_execution_options().get("read_only") and _WRITES.match(statement):
            raise RuntimeError(f"a connection from read() does not write: use a session for {statement.split()[0]}")
        if _SETS.match(statement):
            connection.info[ALTERED] = True
        context.started = time.perf_counter()

    @event.listens_for(engine.sync_engine, "after_cursor_execute")
    def after(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: Any) -> None:
        duration = time.perf_counter() - context.started
        if duration >= slow:
            logger.warning("slow query", extra={"duration": round(duration, 6), "statement": statement[:1000]})
        if telemetry.anyone_listens_to(telemetry.QueryFinished):
            telemetry.emit(telemetry.QueryFinished(statement.split(maxsplit=1)[0].upper(), duration, statement))

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_: Any, record: Any) -> None:
        record.info.pop(SESSION, None)
        if record.info.pop(ALTERED, False):
            record.invalidate()  # the next one would meet the settings that a PRAGMA or SET has left

    # Savepoints of the connection itself, past the session: the last one that began ends first.
    @event.listens_for(engine.sync_engine, "savepoint")
    def savepoint(connection: Any, _: Any) -> None:
        connection.info.get(SESSION, {}).setdefault(FOLLOW_UPS, []).append(SAVEPOINT)

    @event.listens_for(engine.sync_engine, "release_savepoint")
    def released(connection: Any, _: Any, __: Any) -> None:
        drop_since(connection.info.get(SESSION, {}), SAVEPOINT, mark_alone=True)

    @event.listens_for(engine.sync_engine, "rollback_savepoint")
    def rolled_back(connection: Any, _: Any, __: Any) -> None:
        drop_since(connection.info.get(SESSION, {}), SAVEPOINT)

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
