"""Transactions: a commit that is whole and whose outcome is known, and the calls that follow it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
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
Call = Callable[[], Awaitable[object]]


class FollowUp(NamedTuple):
    """A call, and the call in its place if the outcome of the commit is unknown."""

    call: Call
    if_unknown: Call | None


class FollowUps:
    """The follow-ups of a session. SQLAlchemy's `after_commit` also fires at a savepoint."""

    def __init__(self) -> None:
        self.request: RequestContext | None = None
        self.pending: list[object] = []
        """Follow-ups, and a mark where each savepoint began."""
        self.committed: list[FollowUp] = []

    @classmethod
    def of(cls, session: AsyncSession | Session) -> "FollowUps":
        """Return those of a session."""
        found: FollowUps = session.info.setdefault(cls, cls())
        return found

    def take(self) -> list[FollowUp]:
        """Return the follow-ups that are pending, which then no longer are."""
        taken, self.pending = self.pending, []
        return [entry for entry in taken if isinstance(entry, FollowUp)]

    def drop_since(self, mark: object, *, mark_alone: bool = False) -> None:
        """Drop what was registered since a savepoint began, or its mark alone if it was released."""
        if mark in self.pending:
            start = len(self.pending) - 1 - self.pending[::-1].index(mark)
            del self.pending[start : start + 1 if mark_alone else None]


class FollowedSession(Session):
    """A session whose follow-ups are dropped with the savepoint in which they were registered."""


class TransactionSession(AsyncSession):
    """A session whose commit is never cut short, and raises if its outcome is unknown."""

    async def commit(self) -> None:
        """Commit. `database.transaction()` does it at the end of its block.

        Raises:
            OutcomeUnknown: the connection was lost during the commit.
        """
        await to_the_end(self.finish())

    async def finish(self) -> None:
        """Commit, in a task that is not cancelled."""
        follow_ups = FollowUps.of(self)
        request = follow_ups.request
        for last in request.before_commit if request else ():
            await last(self)
        if self.new or self.dirty or self.deleted:
            await self.flush()  # so that a refused statement is not taken for an error of the COMMIT
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
        follow_ups.committed += follow_ups.take()


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Run something that must not stop halfway. A caller that is cancelled waits for it, and then goes on."""
    task = asyncio.create_task(work)
    with CancelScope(shield=True):
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([task])
    task.result()


def once_committed(session: AsyncSession, follow: Call, *, if_unknown: Call | None = None) -> None:
    """Call something once a transaction is committed, before the request is answered.

    It is not called if the transaction, or the savepoint in which it was registered, is rolled back, nor if the
    process is killed right after the commit.

    Args:
        session: the session of `database.transaction()`.
        follow: the call. If it raises, the request is answered with `FollowUpFailed`.
        if_unknown: the call instead if the outcome of the commit is unknown. For something that does no harm if
            nothing was stored, such as invalidating a cached value.
    """
    FollowUps.of(session).pending.append(FollowUp(follow, if_unknown))


def emit_once_committed(session: AsyncSession, happened: telemetry.BusinessEvent) -> None:
    """Emit an event once a transaction is committed. If the outcome is unknown, the event says `outcome="unknown"`."""

    async def tell() -> None:
        telemetry.emit(happened)

    async def tell_unknown() -> None:
        telemetry.emit(happened._replace(outcome="unknown"))

    once_committed(session, tell, if_unknown=tell_unknown)


async def follow(session: AsyncSession) -> None:
    """Call all follow-ups of a committed transaction. If one fails, the others are called all the same."""
    follow_ups = FollowUps.of(session)
    committed, follow_ups.committed = follow_ups.committed, []
    failures = await _call_all([entry.call for entry in committed])
    for error in failures[1:]:
        logger.error("a follow-up of a commit failed", exc_info=error)
    if failures:
        raise FollowUpFailed from failures[0]


async def follow_unknown(session: AsyncSession) -> None:
    """Call the follow-ups for a commit whose outcome is unknown."""
    entries = FollowUps.of(session).take()
    skipped = sum(entry.if_unknown is None for entry in entries)
    if skipped:
        logger.error("the outcome of a commit is unknown: %d follow-ups were not called", skipped)
    for error in await _call_all([entry.if_unknown for entry in entries if entry.if_unknown]):
        logger.error("a follow-up of a commit of unknown outcome failed", exc_info=error)


async def _call_all(calls: Sequence[Call]) -> list[Exception]:
    failures: list[Exception] = []
    for call in calls:
        try:
            await call()
        except Exception as error:  # noqa: BLE001  # reported by the caller, once the others were called too
            failures.append(error)
    return failures


@event.listens_for(FollowedSession, "after_transaction_create")
def _begun(session: Session, transaction: SessionTransaction) -> None:
    if transaction.nested:
        FollowUps.of(session).pending.append(transaction)


@event.listens_for(FollowedSession, "after_soft_rollback")
def _rolled_back(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        FollowUps.of(session).pending.clear()
    else:
        FollowUps.of(session).drop_since(transaction)
