"""The status of jobs, for operators."""

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from math import isnan
from unittest.mock import AsyncMock
from uuid import uuid4

import pytest

from app.core.component import Component, State
from app.core.telemetry import listening
from app.extensions.worker import Jobs, JobsWaiting, OldestJob, WorkersSeen, job
from app.extensions.worker import jobs as jobs_module
from tests.conftest import Start
from tests.extensions.worker.conftest import Work, until
from tests.extensions.worker.test_running import take

KEY = "a key of this service"


async def test_operators_see_what_waits_and_who_works(start: Start, jobs: Jobs, work: Work, queue_url: str) -> None:
    @job(every="0 3 * * *")
    async def clean(_: State) -> None: ...

    assert jobs.queue
    client = await start(worker={"url": queue_url, "queue": jobs.queue.name})
    await jobs.enqueue(take.later(0))
    status = (await client.get("/jobs")).json()
    assert (status["queued"], status["active"], status["workers"]) == (1, 0, [])
    assert status["schedules"] == {"clean": "0 3 * * *"}
    async with work():

        async def seen() -> bool:
            return bool((await client.get("/jobs")).json()["workers"])

        await until(seen)
        (worker,) = (await client.get("/jobs")).json()["workers"]
        assert worker["host"]
        assert worker["process"]
    facts = (await client.get("/health")).json()["parts"]["jobs"]["facts"]
    assert set(facts) == {"queued", "active", "scheduled", "workers"}


async def test_metrics_tell_of_a_queue_that_grows_while_no_worker_runs(
    start: Start, queue_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "LOOK", 0.05)
    seen: dict[str, float] = {}
    with contextlib.ExitStack() as listeners:
        for event in (JobsWaiting, OldestJob, WorkersSeen):
            listen = partial(lambda name, event: seen.update({name: event.level}), event.__name__)
            listeners.enter_context(listening(event, listen))
        opened: list[State] = []

        @contextlib.asynccontextmanager
        async def keep(state: State) -> AsyncIterator[State]:
            opened.append(state)
            yield {}

        extra = [Component(name="keep", lifespan=keep)]
        client = await start(extra=extra, worker={"url": queue_url, "queue": uuid4().hex})
        await until(lambda: seen == {"JobsWaiting": 0, "OldestJob": 0, "WorkersSeen": 0})
        jobs = opened[0]["jobs"]
        await jobs.enqueue(take.later(0))
        await jobs.enqueue(take.later(1), delay=timedelta(hours=1))
        await until(lambda: seen["JobsWaiting"] == 1 and seen["OldestJob"] > 1)
        assert seen["OldestJob"] < 30
        assert (await client.get("/jobs")).json()["oldest"] > 1
        monkeypatch.setattr(jobs.queue, "info", AsyncMock(side_effect=jobs.queue.failures[0]("away")))
        await until(lambda: all(isnan(level) for level in seen.values()))


async def test_others_do_not(start: Start, queue_url: str) -> None:
    client = await start(address="8.8.8.8", worker={"url": queue_url}, health={"key": KEY})
    assert (await client.get("/jobs")).status_code == 401
    assert (await client.get("/jobs", headers={"X-Health-Key": KEY})).status_code == 200
