"""The queue as requests use it: enqueuing jobs, at once or with a transaction, and the state of the queue."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from functools import partial
from math import nan
from time import time
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends
from fastapi.requests import HTTPConnection
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import context
from app.core.database import Database, once_committed
from app.core.errors import AuthenticationFailed, ServiceUnavailable, problems
from app.core.health import HealthSettings, operators_only
from app.core.telemetry import anyone_listens_to, emit
from app.extensions.worker.registry import Call, JobsWaiting, OldestJob, WorkersSeen, declared

if TYPE_CHECKING:
    from app.extensions.worker.queues import Queue, Waiting

Answer = TypeVar("Answer")

TIMEOUT = 4.0
"""Seconds that a request waits for the queue. The client alone would wait for a frozen server for 30 s and longer."""

LOOK = 10.0
"""Seconds between two looks at the queue for metrics."""

# As SAQ enqueues, but in a transaction of the service. A key is free again when its job has ended.
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

    code = "jobs_unavailable"
    message = "this cannot be worked on right now, try again"


async def promptly(queue: "Queue", asking: Coroutine[Any, Any, Answer]) -> Answer:
    """Return the answer of the queue, or raise `JobsUnavailable` if there is none in time."""
    task = asyncio.create_task(asking)
    try:
        done, _ = await asyncio.wait([task], timeout=TIMEOUT)
        if not done:
            raise JobsUnavailable
        return task.result()
    except queue.failures as error:
        raise JobsUnavailable from error
    finally:
        task.cancel()  # without waiting: psycopg takes 10 s for that while its server is frozen


class Jobs:
    """Enqueues jobs. `database` is the service's own if jobs wait in it; without a queue, `dry_run` emits events."""

    def __init__(self, queue: "Queue | None", *, database: Database | None, dry_run: bool) -> None:
        self.queue = queue
        self._database = database
        self._dry_run = dry_run

    async def enqueue(
        self, call: Call, *, key: str | None = None, delay: timedelta | None = None, within: AsyncSession | None = None
    ) -> None:
        """Have a worker run a job: `await jobs.enqueue(send_receipt.later(order_id=7))`.

        Args:
            call: the job and its arguments.
            key: nothing is enqueued while a job of this name with the same key waits or runs.
            delay: the shortest time that the job waits.
            within: the transaction that the job belongs to: it is enqueued if that is committed.
                With WORKER__URL it is sent right after the commit, which stays if sending fails.

        Raises:
            JobsUnavailable: the queue cannot be reached, or there is none. With WORKER__URL and `within`, the end of
                the transaction raises `FollowUpFailed` instead: its writes are stored, and the job is not.
            DatabaseUnreachable: jobs wait in the service's own database, and that does not answer.
        """
        if self.queue is None:
            if not self._dry_run:
                raise JobsUnavailable("WORKER__URL is not set: jobs cannot be enqueued")
            await self._after(within, call)
            return
        scheduled = int(time() + delay.total_seconds()) if delay else 0
        request = context.current()
        origin = {"headers": context.outgoing_headers(), "principal": request.principal if request else None}
        waiting = self.queue.waiting(declared()[call.job], call, key=key, scheduled=scheduled, meta=origin)
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


async def current_jobs(request: HTTPConnection) -> Jobs:
    """Return the jobs of the running service."""
    jobs: Jobs = request.state.jobs
    return jobs


JobsDep = Annotated[Jobs, Depends(current_jobs)]
"""`await jobs.enqueue(send_receipt.later(order_id=7), within=session)`."""


class WorkerStatus(BaseModel):
    """One worker: its counts since its start, `uptime` in seconds, and the `unknown` jobs that it has met."""

    host: str
    process: int
    complete: int
    failed: int
    retried: int
    aborted: int
    uptime: float
    unknown: list[str] = []  # a worker of another release may not report it


class JobsStatus(BaseModel):
    """The numbers of jobs that wait, run and are scheduled, the workers, and the schedules.

    `oldest`: seconds since the oldest job that waits was due.
    """

    queued: int
    oldest: float
    active: int
    scheduled: int
    workers: list[WorkerStatus]
    schedules: dict[str, str]


async def status_of(jobs: Jobs) -> JobsStatus:
    """Return the state of the queue, or raise `JobsUnavailable`."""
    if jobs.queue is None:
        raise JobsUnavailable("WORKER__URL is not set: there are no jobs")
    facts = await promptly(jobs.queue, jobs.queue.info())
    workers = [
        WorkerStatus(**{**worker["metadata"], **worker["stats"], "uptime": worker["stats"]["uptime"] / 1000})
        for worker in facts["workers"].values()
        if worker["metadata"] and worker["stats"]
    ]
    schedules = {name: job.every for name, job in declared().items() if job.every is not None}
    numbers = {name: facts[name] for name in ("queued", "active", "scheduled")}
    oldest = round(await promptly(jobs.queue, jobs.queue.oldest()), 3)
    return JobsStatus(**numbers, oldest=oldest, workers=workers, schedules=schedules)


async def watch(jobs: Jobs, queue: str) -> None:
    """Tell listeners of the state of the queue, whether or not a worker runs. Out of reach it is not a number."""
    while True:
        if anyone_listens_to(JobsWaiting):
            waiting = oldest = workers = nan
            with suppress(JobsUnavailable):
                status = await status_of(jobs)
                waiting, oldest, workers = status.queued, status.oldest, len(status.workers)
            for event, level in ((JobsWaiting, waiting), (OldestJob, oldest), (WorkersSeen, workers)):
                emit(event(queue, level))
        await asyncio.sleep(LOOK)


def status_router(settings: HealthSettings) -> APIRouter:
    """Return the router of /jobs, for those who may see /health."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.get("", responses=problems(AuthenticationFailed, JobsUnavailable))
    async def status(_: Annotated[None, Depends(operators_only(settings))], jobs: JobsDep) -> JobsStatus:
        """Return the state of the jobs, to operators: with the key or from a private address."""
        return await status_of(jobs)

    return router
