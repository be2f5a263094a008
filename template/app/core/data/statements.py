"""Statements: each is timed and leaves its connection as it was; a refusal becomes the error for the caller."""

import logging
import re
import time
from typing import Any

from sqlalchemy import CheckConstraint, event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm.exc import StaleDataError

from app.core import database_errors as refused
from app.core import telemetry
from app.core.data.engine import fault as fault_of
from app.core.data.pool import DatabaseFault
from app.core.data.transactions import FollowUps
from app.core.errors import PreconditionFailed, ServiceError
from app.core.models import Base

logger = logging.getLogger(__name__)
# Catches mistakes, and is no lock: a `WITH` can hide a write.
_WRITES = re.compile(r"\s*(?:insert|update|delete|replace|merge|truncate|create|alter|drop)\b", re.IGNORECASE)
_SETS = re.compile(r"\s*(?:set\s+(?!local\b|constraints\b|transaction\b)|pragma\s+[\w.]+\s*[=(])", re.IGNORECASE)
_ALTERED, _SAVEPOINT = "altered", "savepoint"


def observe(engine: AsyncEngine, slow: float) -> None:
    """Watch the statements, savepoints and errors of an engine. `slow`: seconds from which on a statement is logged."""
    sync = engine.sync_engine

    @event.listens_for(sync, "before_cursor_execute")
    def before(connection: Any, _: Any, statement: str, __: Any, context: Any, ___: Any) -> None:
        if connection.get_execution_options().get("read_only") and _WRITES.match(statement):
            raise RuntimeError(f"a connection from read() does not write: use a session for {statement.split()[0]}")
        if _SETS.match(statement):
            connection.info[_ALTERED] = True
        context.started = time.perf_counter()

    def finished(statement: str, context: Any, **more: str) -> None:
        started, context.started = context.started, None
        duration = time.perf_counter() - started
        if duration >= slow:
            told = {"duration": round(duration, 6), "statement": statement[:1000], **more}
            logger.warning("slow query", extra=told)
        if telemetry.anyone_listens_to(telemetry.QueryFinished):
            telemetry.emit(telemetry.QueryFinished(statement.split(maxsplit=1)[0].upper(), duration, statement))

    @event.listens_for(sync, "after_cursor_execute")
    def after(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: Any) -> None:
        finished(statement, context)

    @event.listens_for(sync, "handle_error")
    def failed(error: ExceptionContext) -> None:
        # The slowest statements are those that a time limit has cut off. A failed fetch was counted before.
        if error.statement and getattr(error.execution_context, "started", None) is not None:
            finished(error.statement, error.execution_context, error=type(error.original_exception).__name__)

    @event.listens_for(sync, "checkin")
    def returned(_: Any, record: Any) -> None:
        record.info.pop(FollowUps, None)
        if record.info.pop(_ALTERED, False):
            record.invalidate()  # the next one would meet the settings that a PRAGMA or SET has left

    # Savepoints of the connection itself, past the session: the last one that began ends first.
    @event.listens_for(sync, "savepoint")
    def savepoint(connection: Any, _: Any) -> None:
        _follow_ups(connection).pending.append(_SAVEPOINT)

    @event.listens_for(sync, "release_savepoint")
    def released(connection: Any, *_: Any) -> None:
        _follow_ups(connection).drop_since(_SAVEPOINT, mark_alone=True)

    @event.listens_for(sync, "rollback_savepoint")
    def rolled_back(connection: Any, *_: Any) -> None:
        _follow_ups(connection).drop_since(_SAVEPOINT)

    event.listen(sync, "handle_error", _translate)


def _follow_ups(connection: Any) -> FollowUps:
    found: FollowUps = connection.info.get(FollowUps) or FollowUps()
    return found


def _translate(context: ExceptionContext) -> BaseException | None:
    # The driver gave up by itself: the database reported nothing, and the connection is of no more use.
    if isinstance(context.original_exception, TimeoutError | OSError):
        context.is_disconnect = True
        return refused.DatabaseUnreachable()
    if isinstance(context.original_exception, OverflowError):  # an integer or a date that the driver cannot send
        return refused.ValueRefused()
    return None


def as_service_error(error: SQLAlchemyError) -> ServiceError | None:
    """Return the error for the caller, without SQL, or nothing if it is a mistake of the service, and so a 500."""
    known: ServiceError
    if isinstance(error, PoolTimeout):
        known = refused.DatabaseBusy()
    elif isinstance(error, StaleDataError):
        known = PreconditionFailed()
    elif isinstance(error, DBAPIError):
        fault = fault_of(error) or (DatabaseFault(refused.DatabaseFailed) if error.connection_invalidated else None)
        if fault is None:
            return None
        entry = {"message": fault.error.message, "code": fault.error.code}
        known = fault.error(errors=[{"field": field, **entry} for field in _fields(fault)])
    else:
        return None
    known.__cause__ = error
    return known


def _fields(fault: DatabaseFault) -> list[str]:
    """Return the columns of a fault, from the constraints that the tables declare."""
    if fault.columns or fault.constraint is None:
        return list(fault.columns)
    tables = Base.metadata.tables.values()
    rules: list[Any] = [rule for table in tables for rule in (*table.constraints, *table.indexes)]
    for rule in rules:
        if rule.name == fault.constraint and isinstance(rule, CheckConstraint):
            words = set(re.findall(r"\w+", str(rule.sqltext)))
            return [column.name for column in rule.table.columns if column.name in words]
        if rule.name == fault.constraint:
            return [column.name for column in rule.columns]
    return []
