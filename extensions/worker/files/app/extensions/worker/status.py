"""How the jobs do, for operators."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from app.core.errors import AuthenticationFailed, problems
from app.core.health import HealthSettings, operators_only
from app.extensions.worker.declaring import declared
from app.extensions.worker.jobs import Jobs, JobsDep, JobsUnavailable, promptly


class WorkerStatus(BaseModel):
    """One worker, and what it has done since it started. `uptime` in seconds; `unknown`: jobs that it does not know."""

    host: str
    process: int
    complete: int
    failed: int
    retried: int
    aborted: int
    uptime: float
    unknown: list[str] = []  # a worker of another release may not tell


class JobsStatus(BaseModel):
    """How many jobs wait, run, and wait for their time; who works; and what begins by itself."""

    queued: int
    active: int
    scheduled: int
    workers: list[WorkerStatus]
    schedules: dict[str, str]


async def status_of(jobs: Jobs) -> JobsStatus:
    """What the queue knows.

    Raises:
        JobsUnavailable: it cannot be reached, or there is none.
    """
    if jobs.queue is None:
        raise JobsUnavailable("WORKER__URL is not set: there are no jobs")
    facts = await promptly(jobs.queue, jobs.queue.info())
    workers = [
        WorkerStatus(**{**worker["metadata"], **worker["stats"], "uptime": worker["stats"]["uptime"] / 1000})
        for worker in facts["workers"].values()
        if worker["metadata"] and worker["stats"]
    ]
    return JobsStatus(
        queued=facts["queued"],
        active=facts["active"],
        scheduled=facts["scheduled"],
        workers=workers,
        schedules={name: job.every for name, job in declared().items() if job.every is not None},
    )


def status_router(settings: HealthSettings) -> APIRouter:
    """Serves /jobs, to those who may see /health."""
    router = APIRouter(prefix="/jobs", tags=["jobs"])

    @router.get("", responses=problems(AuthenticationFailed, JobsUnavailable))
    async def status(_: Annotated[None, Depends(operators_only(settings))], jobs: JobsDep) -> JobsStatus:
        """How the jobs do: for operators, so with the key or from a private address."""
        return await status_of(jobs)

    return router
