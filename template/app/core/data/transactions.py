"""Transactions: a commit that is whole and whose outcome is known, and what follows it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, NamedTuple, cast

from anyio import CancelScope
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction

from app.core import telemetry
from app.core.context import RequestContext
from app.core.data import engine as backend
from app.core.database_errors import DatabaseUnreachable
from app.core.errors import FollowUpFailed, OutcomeUnknown

logger = logging.getLogger(__name__)
REQUEST = "request"
"""In the `info` of a session: the request whose transaction it is."""
FOLLOW_UPS = "follow_ups"
"""In the `info` of a session: its follow-ups. SQLAlchemy's `after_commit` also fires at a savepoint."""
COMMITTED = "committed_follow_ups"
"""In the `info` of a session: those whose transaction is committed."""
SAVEPOINT = "savepoint"
"""Marks among the follow-ups where a savepoint of the connection began."""
Call = Callable[[], Awaitable[object]]


class FollowUp(NamedTuple):
    """One call, and the call in its place where the outcome of the commit is unknown."""

    call: Call
    if_unknown: Call | None


class FollowedSession(Session):
    """A session whose follow-ups are dropped with the savepoint in which they were registered."""


class TransactionSession(AsyncSession):
    """A session whose commit is never cut short, and tells if its outcome is unknown."""

    async def commit(self) -> None:
        """Commit. `database.transaction()` does it at the end of its block.

        Raises:
            OutcomeUnknown: the connection was lost during the commit.
        """
        await to_the_end(self.finish())

    async def finish(self) -> None:
        """Commit, in a task that is not cancelled."""
        request: RequestContext | None = self.info.get(REQUEST)
        for last in request.before_commit if request else ():
            await last(self)
        await self.flush()
        lost: Exception | None = None
        try:
            await super().commit()
        except (DBAPIError, DatabaseUnreachable) as error:
            if isinstance(error, DBAPIError) and backend.commit_was_refused(error):
                raise
            lost = error
        if request:
            request.stored = True
        if reason := backend.gone(cast(AsyncEngine, self.bind)):
            lost = FileNotFoundError(reason)
        if lost is not None:
            raise OutcomeUnknown from lost
        self.info.setdefault(COMMITTED, []).extend(self.info.pop(FOLLOW_UPS, ()))


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run something that must not stop halfway. If the caller is cancelled meanwhile, it waits, and then goes on."""
    task = asyncio.create_task(work)
    with CancelScope(shield=True):
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
    task.result()


def once_committed(session: AsyncSession, follow: Call, *, if_unknown: Call | None = None) -> None:
    """Call something once a transaction is committed, before the request is answered.

    It is not called if the transaction, or the savepoint in which it was registered, is rolled back. If the process is
    killed right after the commit, it is not called either.

    Args:
        session: the session of `database.transaction()`.
        follow: what to call. If it raises, the request is answered with `FollowUpFailed`.
        if_unknown: what to call instead if the outcome of the commit is unknown. For what does no harm if nothing was
            stored, such as forgetting a cached value.
    """
    session.info.setdefault(FOLLOW_UPS, []).append(FollowUp(follow, if_unknown))


def emit_once_committed(session: AsyncSession, happened: telemetry.BusinessEvent) -> None:
    """Emit an event once a transaction is committed. If the outcome is unknown, the event says `outcome="unknown"`."""

    async def tell() -> None:
        telemetry.emit(happened)

    async def tell_unknown() -> None:
        telemetry.emit(happened._replace(outcome="unknown"))

    once_committed(session, tell, if_unknown=tell_unknown)


async def follow(session: AsyncSession) -> None:
    """Call all follow-ups of a committed transaction.

    Raises:
        FollowUpFailed: one of them failed. The others were called all the same.
    """
    committed = session.info.pop(COMMITTED, ())
    failures = await _call_all([entry.call for entry in committed if isinstance(entry, FollowUp)])
    for error in failures[1:]:
        logger.error("what follows a commit failed", exc_info=error)
    if failures:
        raise FollowUpFailed from failures[0]


async def follow_unknown(session: AsyncSession) -> None:
    """Call what is to be called if the outcome of the commit is unknown."""
    registered = [entry for entry in session.info.pop(FOLLOW_UPS, ()) if isinstance(entry, FollowUp)]
    skipped = sum(entry.if_unknown is None for entry in registered)
    if skipped:
        logger.error("the outcome of a commit is unknown: %d follow-ups were not called", skipped)
    for error in await _call_all([entry.if_unknown for entry in registered if entry.if_unknown]):
        logger.error("what follows a commit of unknown outcome failed", exc_info=error)


async def _call_all(calls: list[Call]) -> list[Exception]:
    failures: list[Exception] = []
    for call in calls:
        try:
            await call()
        except Exception as error:  # noqa: BLE001  # told by the caller: it is no reason to leave the others out
            failures.append(error)
    return failures


@event.listens_for(FollowedSession, "after_transaction_create")
def _begun(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        session.info.setdefault(FOLLOW_UPS, []).append(transaction)  # marks where the savepoint began


@event.listens_for(FollowedSession, "after_soft_rollback")
def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(FOLLOW_UPS, None)
    else:
        drop_since(session.info, transaction)


def drop_since(info: dict[Any, Any], mark: object, *, mark_alone: bool = False) -> None:
    """Drop the follow-ups that were registered since a savepoint began, or its mark alone if it was released."""
    entries: list[Any] = info.get(FOLLOW_UPS, [])
    if mark in entries:
        start = len(entries) - 1 - entries[::-1].index(mark)
        del entries[start : start + 1 if mark_alone else None]
