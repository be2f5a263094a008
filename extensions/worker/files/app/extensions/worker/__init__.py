"""Background jobs: the service enqueues them, and worker processes run them."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from app.core.component import Check, Component, State
from app.core.errors import ConfigurationInvalid
from app.core.health import HealthSettings
from app.core.settings import ServiceSettings, Settings
from app.extensions.worker.jobs import Jobs, JobsDep, JobsUnavailable, status_of, status_router, watch
from app.extensions.worker.registry import (
    Call,
    Job,
    JobFailed,
    JobFinished,
    JobsWaiting,
    OldestJob,
    WorkerSettings,
    WorkersSeen,
    job,
    own_database,
)

if TYPE_CHECKING:
    from app.extensions.worker.queues import Queue

__all__ = [
    "Call",
    "Job",
    "JobFailed",
    "JobFinished",
    "Jobs",
    "JobsDep",
    "JobsUnavailable",
    "JobsWaiting",
    "OldestJob",
    "WorkerSettings",
    "WorkersSeen",
    "component",
    "job",
]

logger = logging.getLogger(__name__)


def component(settings: Settings) -> Component:
    """Open the queue, and offer the worker process. The service also starts while the queue cannot be reached."""
    mine, service = settings.of(WorkerSettings), settings.of(ServiceSettings)
    testing = service.environment == "test"  # then nothing is sent, unless the test sets a URL
    url = mine.url or (None if testing else own_database(settings))

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        if url is None:
            if not testing:
                logger.warning("WORKER__URL is not set: no job can be enqueued")
            yield {"jobs": Jobs(None, database=None, dry_run=testing)}
            return
        queue = open_queue(url, mine.queue or service.name, mine)
        try:
            await queue.connect()
        except queue.failures as error:
            logger.warning("the queue cannot be reached: %r", error)
        jobs = Jobs(queue, database=None if mine.url else state["database"], dry_run=False)
        watching = asyncio.create_task(watch(jobs, queue.name))
        try:
            yield {"jobs": jobs}
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            await queue.disconnect()

    async def work(state: State) -> None:
        from app.extensions.worker import running

        await running.work(_queue(state), mine, state)

    async def try_again(state: State) -> None:
        from app.extensions.worker import running

        await running.try_again(_queue(state))

    async def probe(state: State) -> Mapping[str, Any]:
        status = await status_of(state["jobs"])
        return {**status.model_dump(include={"queued", "active", "scheduled"}), "workers": len(status.workers)}

    return Component(
        name="worker",
        routers=[status_router(settings.of(HealthSettings))],
        lifespan=lifespan,
        checks=[Check(name="jobs", probe=probe, critical=False, timeout=3.0)] if url else [],
        processes={"worker": work, "retry-jobs": try_again},
    )


def open_queue(url: str, name: str, settings: WorkerSettings) -> "Queue":
    """Return a queue on the server of this URL. Nothing is connected yet."""
    if url.startswith("redis"):  # each import takes 0.4 s
        from app.extensions.worker.on_redis import RedisQueue

        return RedisQueue.at(url, name).configured(settings)
    from app.extensions.worker.on_postgres import PostgresQueue

    return PostgresQueue.at(url, name).configured(settings)


def _queue(state: State) -> Any:
    queue = state["jobs"].queue
    if queue is None:
        raise ConfigurationInvalid("WORKER__URL: is required, say where jobs wait")
    return queue
