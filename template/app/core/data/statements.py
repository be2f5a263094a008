"""Statements: each is timed, and none leaves a connection changed or writes on one for reads."""

import logging
import re
import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine.interfaces import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core import telemetry
from app.core.data.transactions import FollowUps
from app.core.database_errors import DatabaseUnreachable, ValueRefused

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

    @event.listens_for(sync, "after_cursor_execute")
    def after(_: Any, __: Any, statement: str, ___: Any, context: Any, ____: Any) -> None:
        duration = time.perf_counter() - context.started
        if duration >= slow:
            logger.warning("slow query", extra={"duration": round(duration, 6), "statement": statement[:1000]})
        if telemetry.anyone_listens_to(telemetry.QueryFinished):
            telemetry.emit(telemetry.QueryFinished(statement.split(maxsplit=1)[0].upper(), duration, statement))

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
        unreachable = DatabaseUnreachable()
        unreachable.__cause__ = context.original_exception
        return unreachable
    if isinstance(context.original_exception, OverflowError):  # an integer or a date that the driver cannot send
        return ValueRefused()
    return None
