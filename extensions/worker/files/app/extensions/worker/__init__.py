"""Background jobs: enqueued by the service, carried out by workers."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from app.core.component import Check, Component, State
from app.core.errors import ConfigurationInvalid
from app.core.health import HealthSettings
from app.core.settings import ServiceSettings, Settings
from app.extensions.worker.declaring import Call, Job, job
from app.extensions.worker.jobs import Jobs, JobsDep, JobsUnavailable
from app.extensions.worker.settings import WorkerSettings, own_database
from app.extensions.worker.status import status_of, status_router

__all__ = ["Call", "Job", "Jobs", "JobsDep", "JobsUnavailable", "WorkerSettings", "component", "job"]

logger = logging.getLogger(__name__)


def component(settings: Settings) -> Component:
    """Opens the queue, and offers the worker's process. Serving starts without the queue's server too."""
    mine, service = settings.of(WorkerSettings), settings.of(ServiceSettings)
    testing = service.environment == "test"  # there nothing is sent, unless the test says where
    url = mine.url or (None if testing else own_database(settings))

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        if url is None:
            if not testing:
                logger.warning("WORKER__URL is not set: no job can be enqueued")
            yield {"jobs": Jobs(None, database=None, only_told=testing)}
            return
        from app.extensions.worker.queues import open_queue  # 0.4 s that a service without a queue saves

        queue = open_queue(url, mine.queue or service.name, mine)
        try:
            await queue.connect()
        except queue.failures as error:
            logger.warning("the queue cannot be reached: %r", error)
        yield {"jobs": Jobs(queue, database=None if mine.url else state["database"], only_told=False)}
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


def _queue(state: State) -> Any:
    queue = state["jobs"].queue
    if queue is None:
        raise ConfigurationInvalid("WORKER__URL: is required, say where jobs wait")
    return queue
