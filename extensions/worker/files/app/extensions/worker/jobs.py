"""Enqueuing jobs, at once or with a transaction."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from time import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import Depends, Request
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import context
from app.core.database import Database, once_committed
from app.core.errors import ServiceUnavailable
from app.core.telemetry import emit
from app.extensions.worker.declaring import Call, declared

if TYPE_CHECKING:
    from app.extensions.worker.queues import Queue, Waiting

Answer = TypeVar("Answer")

PATIENCE = 4.0
"""Seconds that a request waits for the queue. Its client alone would try a frozen server for half a minute, or on."""

# What SAQ's own does, but within a transaction of the service. A key is free again when its job has ended.
INSERT = text(
    """
    INSERT INTO saq_jobs (key, job, queue, status, scheduled) VALUES (:key, :job, :queue, 'queued', :scheduled)
    ON CONFLICT (key) DO UPDATE SET job = excluded.job, queue = excluded.queue, status = excluded.status,
      scheduled = excluded.scheduled, expire_at = NULL
    WHERE saq_jobs.status IN ('aborted', 'complete', 'failed')
    """
)


class JobsUnavailable(ServiceUnavailable):
    """The queue is unreachable."""

    message = "this cannot be worked on right now, try again"


async def promptly(queue: "Queue", asking: Coroutine[Any, Any, Answer]) -> Answer:
    """What the queue answers.

    Raises:
        JobsUnavailable: it cannot be reached, or not in time.
    """
    task = asyncio.create_task(asking)
    try:
        done, _ = await asyncio.wait([task], timeout=PATIENCE)
        if not done:
            raise JobsUnavailable
        return task.result()
    except queue.failures as error:
        raise JobsUnavailable from error
    finally:
        task.cancel()  # and not waited for: psycopg spends 10 s on that while its server is frozen


class Jobs:
    """What features enqueue jobs with."""

    def __init__(self, queue: "Queue | None", *, database: Database | None, only_told: bool) -> None:
        self.queue = queue
        self._database = database
        self._only_told = only_told

    async def enqueue(
        self, call: Call, *, key: str | None = None, delay: timedelta | None = None, within: AsyncSession | None = None
    ) -> None:
        """Have a worker carry a job out: `await jobs.enqueue(send_receipt.later(order_id=7))`.

        Args:
            call: the job and its arguments.
            key: nothing is enqueued while a job of this name with the same key waits or runs.
            delay: how long the job waits at least.
            within: the transaction that it belongs to: it is enqueued when that is committed, and never otherwise.
                With WORKER__URL it is sent right after the commit, which stays when that fails.

        Raises:
            JobsUnavailable: the queue cannot be reached, or there is none. With WORKER__URL and `within`, the end of
                the transaction raises `FollowUpFailed` instead: what that wrote is stored, and the job is not.
            DatabaseUnreachable: jobs wait in the service's own database, and that does not answer.
        """
        if self.queue is None:
            if not self._only_told:
                raise JobsUnavailable("WORKER__URL is not set: there is nothing to enqueue jobs in")
            await self._after(within, call)
            return
        scheduled = int(time() + delay.total_seconds()) if delay else 0
        waiting = self.queue.waiting(declared()[call.job], call, key=key, scheduled=scheduled, meta=_origin())
        if self._database is None:
            await self._after(within, call, waiting)
        elif within is None:
            async with self._database.transaction() as session:
                await self._insert(session, waiting)
            emit(call)
        else:
            await self._insert(within, waiting)
            await self._after(within, call)

    async def _after(self, session: AsyncSession | None, call: Call, waiting: "Waiting | None" = None) -> None:
        if session is None:
            await self._send(call, waiting)
        else:
            once_committed(session, partial(self._send, call, waiting))

    async def _send(self, call: Call, waiting: "Waiting | None") -> None:
        if self.queue is not None and waiting is not None:
            await promptly(self.queue, self.queue.enqueue(waiting))
        emit(call)

    async def _insert(self, session: AsyncSession, waiting: "Waiting") -> None:
        values = {"key": waiting.key, "job": waiting.get_queue().serialize(waiting), "queue": waiting.get_queue().name}
        await session.execute(INSERT, {**values, "scheduled": waiting.scheduled or int(time())})


def _origin() -> dict[str, Any]:
    """What a job takes along of the request that it comes from: ids and who asked."""
    request = context.current()
    return {"headers": context.outgoing_headers(), "principal": request.principal if request else None}


async def current_jobs(request: Request) -> Jobs:
    """The jobs of the running service."""
    jobs: Jobs = request.state.jobs
    return jobs


JobsDep = Annotated[Jobs, Depends(current_jobs)]
"""`await jobs.enqueue(send_receipt.later(order_id=7), within=session)`."""
