"""PostgreSQL: its engine, settings and errors."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any

import asyncpg  # type: ignore[import-untyped]
from pydantic import AfterValidator, Field
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.core.data.pool import ConnectionLimiter, DatabaseFault, PoolSettings
from app.core.data.url import checked, driver_arguments, is_pooled, without_parameters
from app.core.database_errors import AlreadyExists, DatabaseFailed, ReferenceUnknown, ValueMissing, ValueRefused
from app.core.errors import ConfigurationInvalid, ServiceError

READING: dict[str, Any] = {"read_only": True, "isolation_level": "AUTOCOMMIT"}
"""The options of a connection for reads. Each statement sees what is committed, so no transaction is needed."""
SNAPSHOT: dict[str, Any] = {"read_only": True, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
"""The options of a connection on which all statements see one state."""
MIGRATION_LOCK = 7_302_114_501
"""The key of the advisory lock under which migrations run: any number, the same for all replicas."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_FAULTS: dict[str, type[ServiceError]] = {
    "23505": AlreadyExists,
    "23P01": AlreadyExists,
    "23503": ReferenceUnknown,
    "23502": ValueMissing,
    "23514": ValueRefused,
}
# Too long, too large, no such date, a NUL byte, an unfinished escape, a wrong regular expression. All else of class 22,
# such as a division by zero or the label of an enum that no revision has added, is a mistake of the service.
_FAULTS |= dict.fromkeys(("22001", "22003", "22007", "22008", "22021", "22025", "2201B", "22P05"), ValueRefused)
_UNDECIDED = ("08", "57P", "40003")
"""Ends of a COMMIT after which it is unknown whether it happened: connection, shutdown, completion unknown."""
_UNAVAILABLE = ("08", "53", "57", "58", "40", "55P03", "25006")
"""Connection, resources, operator, system, rollback, lock, read-only (a replica that was the primary)."""
CANNOT_CONNECT = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, DBAPIError)
"""The errors of opening a connection: the server is away, or takes no more."""


class DatabaseSettings(PoolSettings):
    """The server, and a limit for each wait."""

    url: Annotated[str, AfterValidator(checked)] = Field(
        description="The server: postgresql://user:password@host:5432/name.",
        repr=False,
        examples=["postgresql://127.0.0.1/service"],
    )
    connect_timeout: float = Field(1.0, gt=0, description="Seconds for a connection to open.")
    statement_timeout: float = Field(1.5, gt=0, description="Seconds until the server cancels a statement.")
    command_timeout: float = Field(1.8, gt=0, description="Seconds until the service gives up on the server.")
    close_timeout: float = Field(0.2, gt=0, description="Seconds for a dead connection to close.")
    idle_ping: float = Field(30.0, ge=0, description="Seconds until an idle connection is tested before use.")


class PromptConnection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that closes in a bounded time, whose time limit can change, and whose COMMIT commits."""

    close_timeout = 0.2
    pooled = False
    """PgBouncer is before the server, and a SET would reach the next caller's requests."""
    _config: Any

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as asyncpg has it
        """Close, or abort after `close_timeout` seconds."""
        await super().close(timeout=min(timeout or self.close_timeout, self.close_timeout))

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109  # as asyncpg has it
        """Run a command, and raise if a COMMIT rolled back: PostgreSQL reports no error then."""
        done: str = await super().execute(query, *args, timeout=timeout)
        if done == "ROLLBACK" and query.startswith("COMMIT"):
            raise asyncpg.InFailedSQLTransactionError(
                "nothing was stored: a statement of the transaction had failed, and its error was caught; run such a "
                "statement in `async with session.begin_nested()`"
            )
        return done

    def allow(self, seconds: float) -> float:
        """Set the seconds of a command, and return those before. asyncpg has no public way to do this."""
        before: float = self._config.command_timeout
        self._config = self._config._replace(command_timeout=seconds)
        return before


def create(settings: DatabaseSettings) -> AsyncEngine:
    """Return an engine with a limit on every wait."""
    arguments, pooled = driver_arguments(settings.url), is_pooled(settings.url)
    if pooled:  # a prepared statement stays on one of its connections to the server
        arguments |= {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
    else:
        arguments["server_settings"] |= {
            "statement_timeout": _milliseconds(settings.statement_timeout),
            "lock_timeout": _milliseconds(settings.statement_timeout),
            "idle_in_transaction_session_timeout": "15000",
        }
    engine = create_async_engine(
        without_parameters(settings.url),
        pool_size=settings.pool_size,
        max_overflow=settings.pool_overflow,
        pool_timeout=settings.pool_timeout,
        pool_recycle=settings.pool_recycle,
        hide_parameters=True,  # an error goes to the log, and what was to be stored may be a password
        skip_autocommit_rollback=True,
        connect_args={
            "timeout": settings.connect_timeout,
            "command_timeout": settings.command_timeout,
            "connection_class": PromptConnection,
            **arguments,
        },
    )

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.driver_connection.close_timeout = settings.close_timeout
        connection.driver_connection.pooled = pooled

    _keep_fresh(engine, settings.idle_ping)
    return engine


def _milliseconds(seconds: float) -> str:
    return str(int(seconds * 1000))


def _keep_fresh(engine: AsyncEngine, idle: float) -> None:
    """Never hand out a stale connection: closed ones are noticed for free, those idle for long are pinged.

    A ping at each check-out would cost every read a round trip.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def taken(connection: Any, record: Any, _: Any) -> None:
        if connection.driver_connection.is_closed():
            raise DisconnectionError("closed while it was idle")
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) > idle:
            try:
                connection.run_async(lambda driver: driver.execute("SELECT 1", timeout=0.5))
            except Exception as error:
                raise DisconnectionError("did not answer after it had been idle") from error


def write_limiter(_: DatabaseSettings) -> ConnectionLimiter | None:
    """Return nothing: writers share the limit of readers."""
    return None


@asynccontextmanager
async def allow(connection: AsyncConnection, seconds: float, *, local: bool) -> AsyncIterator[None]:
    """Allow the statements of a block this many seconds, here and on the server. `local`: for one transaction."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    limit = f"statement_timeout = {_milliseconds(seconds)}"
    for_session = not local and not driver.pooled
    if local:  # by SQLAlchemy, which sends BEGIN with its first statement: before that SET LOCAL does nothing
        await connection.exec_driver_sql(f"SET LOCAL {limit}")
    elif for_session:
        await driver.execute(f"SET {limit}")
    before = driver.allow(seconds + 0.3)
    try:
        yield
    finally:
        driver.allow(before)
        if for_session and not driver.is_closed():
            await driver.execute("RESET statement_timeout")


def create_for_migrations(settings: DatabaseSettings) -> AsyncEngine:
    """Return an engine for migrations, which may take an hour and wait as long for another replica.

    Raises:
        ConfigurationInvalid: the URL is of PgBouncer, and a lock of a session has to last.
    """
    if is_pooled(settings.url):
        raise ConfigurationInvalid(
            "DATABASE__URL: migrations do not go through PgBouncer (pgbouncer=true): give them the server's own URL"
        )
    hour = 3600.0
    return create(settings.model_copy(update={"statement_timeout": hour, "command_timeout": hour, "pool_size": 1}))


def gone(_: AsyncEngine) -> str | None:
    """Return nothing: a server does not lose its database unnoticed."""
    return None


async def verify(connection: AsyncConnection, settings: DatabaseSettings) -> None:
    """Check that the server answers, and that no PgBouncer is before it which the URL does not name."""
    limit = await connection.scalar(text("SELECT setting FROM pg_settings WHERE name = 'statement_timeout'"))
    if not is_pooled(settings.url) and limit != _milliseconds(settings.statement_timeout):
        raise ConfigurationInvalid(
            "DATABASE__URL: something between the service and PostgreSQL drops statement_timeout: "
            "if it is PgBouncer, add pgbouncer=true to the parameters of the URL"
        )


def advice(error: str) -> str:
    """Return what to do about an error of connecting."""
    if "unsupported startup parameter" in error:
        return "that is PgBouncer, so add pgbouncer=true to the parameters of the URL"
    return "make it work, or name another one"


async def facts(connection: AsyncConnection) -> dict[str, Any]:
    """Return the version of the server, for operators."""
    return {"server": await connection.scalar(text("SHOW server_version"))}


def commit_was_refused(error: DBAPIError) -> bool:
    """Return whether the server said that a failed COMMIT has stored nothing."""
    code = _code(error)
    return bool(code) and not code.startswith(_UNDECIDED)


def _code(error: DBAPIError) -> str:
    cause = error.orig.__cause__ if error.orig else None
    return str(getattr(error.orig, "sqlstate", None) or getattr(cause, "sqlstate", None) or "")


def fault(error: DBAPIError) -> DatabaseFault | None:
    """Return what PostgreSQL refuses, or nothing if the statement itself is wrong."""
    cause = error.orig.__cause__ if error.orig else None
    code = _code(error)
    if code.startswith(_UNAVAILABLE):
        return DatabaseFault(DatabaseFailed)
    if isinstance(cause, asyncpg.DataError) and isinstance(cause.__cause__, OverflowError | UnicodeError):
        return DatabaseFault(ValueRefused)  # the driver cannot send it: too large, or no text
    known = _FAULTS.get(code)
    if known is None:
        return None
    column = getattr(cause, "column_name", None)
    return DatabaseFault(known, getattr(cause, "constraint_name", None), (column,) if column else ())


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """Run one migration at a time, by an advisory lock of the session."""
    connection.execute(text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({MIGRATION_LOCK})"))
        connection.commit()


def prepare_place(_: str) -> None:
    """Do nothing: the server has its own storage."""
