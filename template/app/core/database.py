"""The database: read-only connections for reads, and for writes a transaction that is committed before the answer."""

import warnings
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from typing import Annotated, Any

from fastapi import Depends
from fastapi.requests import HTTPConnection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker

from app.core import context
from app.core.component import Check, Component, State
from app.core.data import engine as backend
from app.core.data import migrations, statements, transactions
from app.core.data.engine import DatabaseSettings
from app.core.data.pool import ConnectionLimiter
from app.core.data.transactions import FollowedSession, FollowUps, TransactionSession, to_the_end
from app.core.database_errors import DatabaseUnreachable as DatabaseUnreachable
from app.core.errors import ConfigurationInvalid, OutcomeUnknown, ServiceUnavailable
from app.core.observability.redaction import scrub
from app.core.settings import Settings

once_committed = transactions.once_committed
emit_once_committed = transactions.emit_once_committed


class Database:
    """One engine, and the ways to use it."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.engine = backend.create(settings)
        self.reads = ConnectionLimiter(settings.pool_size + settings.pool_overflow, settings.pool_timeout)
        self.writes = backend.write_limiter(settings) or self.reads
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
        statements.observe(self.engine, settings.slow_query)

    @asynccontextmanager
    async def read(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the server keeps it too
        snapshot: bool = False,
        patience: float | None = None,
    ) -> AsyncIterator[AsyncConnection]:
        """Open a connection for Core `select`s. Each of them sees what is committed when it starts.

        Args:
            timeout: seconds that a statement may take, for a route that needs longer.
            snapshot: all statements see the database as it was at the first one. This costs a BEGIN and a ROLLBACK,
                so prefer one statement.

        Raises:
            DatabaseBusy: no connection became free in time.
            DatabaseUnreachable: the server is gone, or does not answer.
        """
        timeout = _renamed(patience) or timeout
        async with self.reads:
            try:
                connection = await (self._snapshots if snapshot else self._reader).connect()
            except backend.CANNOT_CONNECT as error:
                raise DatabaseUnreachable from error
            try:
                async with backend.allow(connection, timeout, local=snapshot) if timeout else nullcontext():
                    yield connection
            finally:
                await connection.close()

    @asynccontextmanager
    async def transaction(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109  # the server keeps it too
        bookkeeping: bool = False,
        patience: float | None = None,
    ) -> AsyncIterator[AsyncSession]:
        """Open a session in one transaction: committed at the end, rolled back on any error.

        A commit that has begun is not cancelled: a request that is given up meanwhile still gets its answer.

        Args:
            timeout: seconds that a statement may take, for a route that needs longer.
            bookkeeping: it is no part of what the request stores, so the answer does not depend on its outcome.

        Raises:
            DatabaseBusy: no connection became free in time.
            DatabaseUnreachable: the server is gone, or does not answer. Nothing is stored.
            OutcomeUnknown: the connection was lost during the commit.
            FollowUpFailed: it is stored, and something that follows it failed.
        """
        timeout = _renamed(patience) or timeout
        session = self._sessions()
        follow_ups = FollowUps.of(session)
        follow_ups.request = None if bookkeeping else context.current()
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self.writes)
                await stack.enter_async_context(session)
                self._check_place()
                try:
                    connection = await session.connection()
                except backend.CANNOT_CONNECT as error:
                    raise DatabaseUnreachable from error
                connection.info[FollowUps] = follow_ups
                if timeout:
                    await stack.enter_async_context(backend.allow(connection, timeout, local=True))
                yield session
                await to_the_end(_finish(session, stack.pop_all()))
        except BaseException as error:
            if follow_ups.committed:  # the block has committed, and failed later
                await to_the_end(transactions.follow(session))
            if isinstance(error, OutcomeUnknown):
                await to_the_end(transactions.follow_unknown(session))
            raise

    def _check_place(self) -> None:
        """Refuse to write to a database that is not the one that was opened."""
        if gone := backend.gone(self.engine):
            raise DatabaseUnreachable from FileNotFoundError(gone)

    async def probe(self, _: State) -> Mapping[str, Any]:
        """Check readiness by one statement, and return the facts for operators."""
        self._check_place()
        async with self.read() as connection:
            facts = await backend.facts(connection)
            await migrations.verify_running(connection)
        return {"pool": {"size": self.reads.places, "taken": self.reads.taken}, **facts}


def _renamed(patience: float | None) -> float | None:
    if patience is not None:
        message = "app.core.database: `patience` is now `timeout`, and goes away in 0.6"
        warnings.warn(message, DeprecationWarning, stacklevel=4)
    return patience


async def _finish(session: TransactionSession, stack: AsyncExitStack) -> None:
    async with stack:  # closed before the follow-ups, which may need the place of a writer themselves
        await session.finish()
    await transactions.follow(session)


async def current_database(request: HTTPConnection) -> Database:
    """Return the database of the running service."""
    database: Database = request.state.database
    return database


DatabaseDep = Annotated[Database, Depends(current_database)]
"""`async with database.read() as connection`, and `async with database.transaction() as session`.

Opened in the route, not by a dependency: a request that is refused for its values then costs no connection, and the
code after the block runs after the commit.
"""


def component(settings: Settings) -> Component:
    """Open the database, and refuse to start on one that is unreachable or of another revision."""
    database = Database(settings.of(DatabaseSettings))

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        try:
            try:
                async with database.read() as connection:
                    await backend.verify(connection, settings.of(DatabaseSettings))
                    await migrations.verify(connection)
            except (ServiceUnavailable, SQLAlchemyError) as error:
                raise unusable(database.engine, error) from error
            yield {"database": database}
        finally:
            await database.engine.dispose()

    check = Check(name="database", probe=database.probe, timeout=3.0)
    return Component(name="database", lifespan=lifespan, checks=[check])


def unusable(engine: AsyncEngine, error: Exception) -> ConfigurationInvalid:
    """Return the error for a database that cannot be opened."""
    where = scrub(engine.url.render_as_string(hide_password=True))
    cause = error.__cause__ if isinstance(error, ServiceUnavailable) else error
    why = str(cause.orig if isinstance(cause, DBAPIError) else cause) or type(cause).__name__
    message = f"DATABASE__URL: cannot use {where} ({why}): {backend.advice(why)}"
    return ConfigurationInvalid(message, exit_status=3)
