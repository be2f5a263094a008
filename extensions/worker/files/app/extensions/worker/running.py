"""The worker process, and the command that tries failed jobs again."""

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import saq
from croniter import CroniterBadDateError, croniter  # type: ignore[import-untyped]
from saq.job import Status
from saq.types import Context

from app.core import context
from app.core.component import State
from app.core.context import RequestContext
from app.core.telemetry import emit
from app.extensions.worker.queues import Queue, Waiting
from app.extensions.worker.registry import Job, JobFailed, WorkerSettings, declared

logger = logging.getLogger(__name__)

NEVER = 1_000_000_000
"""Seconds between two looks for jobs to abort, which no part of the service asks for."""


class Worker(saq.Worker[Context]):
    """SAQ's worker, for the declared jobs."""

    def __init__(self, queue: Queue, settings: WorkerSettings, state: State) -> None:
        super().__init__(
            queue,
            [],
            concurrency=settings.concurrency,
            timers={"schedule": 1, "worker_info": 10, "sweep": max(1, settings.heartbeat // 3), "abort": NEVER},
            shutdown_grace_period_s=settings.shutdown_timeout,
            metadata={"host": socket.gethostname(), "process": os.getpid(), "unknown": queue.unknown},
        )
        self.queue: Queue = queue
        self.functions = {name: self._function(job) for name, job in declared().items()}
        self._state = state
        self._pulse = settings.heartbeat / 3
        self._begun: dict[str, int] = {}
        self._busy: set[asyncio.Task[Any] | None] = set()

    async def schedule(self, lock: int = 1) -> None:
        """Enqueue each scheduled job that is due, and move delayed jobs to the queue."""
        schedules = [(job, job.every) for job in declared().values() if job.every is not None]
        if schedules:
            now = await self.queue.clock()
            for job, every in schedules:
                await self._begin(job, _last_time(every, now))
        await self.queue.schedule(lock)

    async def _begin(self, job: Job[Any], slot: int | None) -> None:
        if slot is None or slot == self._begun.get(job.name):
            return
        waiting = self.queue.waiting(job, job.later(), key="every", scheduled=0, meta={})
        if job.name not in self._begun:
            await self.queue.remember(waiting, slot)  # a new schedule starts with its next slot
        await self.queue.begin(waiting, slot)
        self._begun[job.name] = slot

    async def stop(self) -> None:
        """Take no more jobs, and wait for those that run. SAQ itself would also wait for the idle tasks."""
        self.event.set()
        for task in self.tasks - self._busy:
            task.cancel()
        await super().stop()

    async def _before_process(self, ctx: Context) -> None:
        job = ctx["job"]
        self._busy.add(asyncio.current_task())
        job.meta.setdefault("began", job.started)
        origin = job.meta.get("headers", {})
        request = RequestContext()
        request.identify(*(origin.get(name, "").encode() for name in ("X-Correlation-ID", "traceparent")))
        request.principal = job.meta.get("principal")
        context.enter(request)  # this task is for one job

    async def _after_process(self, _: Context) -> None:
        self._busy.discard(asyncio.current_task())

    def _function(self, job: Job[Any]) -> Callable[..., Awaitable[None]]:
        async def run(ctx: Context, /, **arguments: Any) -> None:
            mine = ctx["job"]
            mine.retry_delay = job.delay
            try:
                await self._try(job, mine, arguments)
            except asyncio.CancelledError:
                mine.attempts -= 1  # the worker stops: this does not count as a try
                mine.retry_delay = 0
                logger.warning("job %s was interrupted, and is queued again", job.name)
                raise
            except Exception as error:
                level = logging.WARNING if mine.retryable else logging.ERROR
                logger.log(level, "job %s failed (try %d of %d)", job.name, mine.attempts, job.tries, exc_info=error)
                emit(JobFailed(job.name, error, mine.attempts, mine.retryable))
                raise
            mine.ttl = -1  # a job that succeeded is not kept

        return run

    async def _try(self, job: Job[Any], mine: Waiting, arguments: dict[str, Any]) -> None:
        try:
            async with beating(mine, self._pulse), asyncio.timeout(job.timeout):
                await job.run(self._state, arguments)
        except asyncio.CancelledError as error:
            if self.event.is_set():
                raise
            raise RuntimeError(f"job {job.name} was cancelled by its own code") from error  # else it is tried for ever


def _last_time(every: str, now: float) -> int | None:
    """Return the last time of a schedule in seconds since 1970, or None if there is none: the 30th of February."""
    try:
        return int(croniter(every, int(now) + 1).get_prev())
    except CroniterBadDateError:
        return None


@asynccontextmanager
async def beating(job: Waiting, pulse: float) -> AsyncIterator[None]:
    """Give a sign every `pulse` seconds that the job runs."""
    done = asyncio.Event()

    async def beat() -> None:
        while not done.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), pulse)
                return
            try:
                await job.update()
            except Exception as error:  # noqa: BLE001  # an outage, logged once a minute
                logging.getLogger("saq").warning("the queue cannot be told that a job runs: %r", error)

    beats = asyncio.create_task(beat())
    try:
        yield
    finally:
        done.set()
        await beats  # not cancelled: its write must not come after the job's end


async def work(queue: Queue, settings: WorkerSettings, state: State) -> None:
    """Run jobs until the process is told to stop."""
    worker = Worker(queue, settings, state)
    await queue.advise()
    logger.info("the worker starts", extra={"jobs": sorted(declared()), "queue": queue.name})
    await worker.start()
    logger.info("the worker has stopped")


async def try_again(queue: Queue) -> None:
    """Queue all failed jobs that are still kept again."""
    await queue.connect()
    failed = [job async for job in queue.iter_jobs([Status.FAILED, Status.ABORTED])]
    for job in failed:
        job.attempts, job.retry_delay = 0, 0
        await queue.retry(job, error=job.error)
    logger.info("%d failed jobs are tried again", len(failed))
