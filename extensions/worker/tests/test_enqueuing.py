"""Enqueuing: with the transaction or not at all, once for each key, and with the ids of the request."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from fastapi import APIRouter
from saq.job import Status
from sqlalchemy import text

from app.core import context
from app.core.component import Component, State
from app.core.database import DatabaseDep
from app.core.errors import ConfigurationInvalid, Conflict
from app.core.settings import Settings
from app.extensions.worker import Call, Jobs, JobsDep, JobsUnavailable, WorkerSettings, job, open_queue
from app.extensions.worker.registry import own_database
from migrations import backend
from tests.conftest import Serve, Start
from tests.extensions.worker.conftest import Work, until

SEEN: list[Any] = []
IDS: list[Any] = []


@job()
async def note_down(state: State, number: int) -> None:
    """Notes that it ran, and for whom."""
    assert state["database"]
    request = context.current()
    assert request
    IDS.append(context.ids())
    SEEN.append((number, request.principal))


def slice_of_parcels() -> Component:
    """Routes as an owner writes them."""
    router = APIRouter(prefix="/noted")

    @router.post("/{number}")
    async def place(number: int, database: DatabaseDep, jobs: JobsDep, *, fail: bool = False) -> None:
        request = context.current()
        assert request
        request.principal = "ada"
        async with database.transaction() as session:
            await session.execute(text("SELECT 1"))
            await jobs.enqueue(note_down.later(number), within=session)
            if fail:
                raise Conflict

    return Component(name="parcels", routers=[router])


@pytest.fixture(autouse=True)
def _forget() -> None:
    SEEN.clear()
    IDS.clear()


async def waiting(jobs: Jobs) -> int:
    """Return the number of jobs that wait or run."""
    assert jobs.queue
    return await jobs.queue.count("incomplete")


async def test_a_job_is_enqueued_when_the_transaction_is_committed(jobs: Jobs, state: State, work: Work) -> None:
    async def write(number: int, error: Exception | None = None) -> None:
        async with state["database"].transaction() as session:
            await jobs.enqueue(note_down.later(number), within=session)
            assert await waiting(jobs) == 0
            if error:
                raise error

    with pytest.raises(Conflict):
        await write(1, Conflict())
    await write(2)
    assert await waiting(jobs) == 1
    async with work():
        await until(lambda: bool(SEEN))
    assert SEEN == [(2, None)]


async def test_a_key_is_enqueued_once_until_its_job_has_ended(jobs: Jobs, work: Work) -> None:
    for _ in range(3):
        await jobs.enqueue(note_down.later(1), key="one")
    await jobs.enqueue(note_down.later(2), key="two")
    assert await waiting(jobs) == 2
    async with work():
        await until(lambda: len(SEEN) == 2)
        await until(lambda: gone(jobs))
        await jobs.enqueue(note_down.later(3), key="one")
        await until(lambda: len(SEEN) == 3)
    assert SEEN[-1] == (3, None)


async def test_a_job_that_has_failed_leaves_its_key_free_in_the_same_second_too(jobs: Jobs) -> None:
    assert jobs.queue
    for _ in range(3):
        await jobs.enqueue(note_down.later(1), key="one")
        assert await waiting(jobs) == 1
        found = await jobs.queue.job(f"{jobs.queue.name}:note_down:one")
        assert found
        await jobs.queue.retry(found, "it failed")
        await jobs.queue.finish(found, Status.FAILED)


async def test_two_services_on_one_server_have_keys_of_their_own(jobs: Jobs, serve: Serve, queue_url: str) -> None:
    opened: list[Jobs] = []

    @asynccontextmanager
    async def keep(state: State) -> AsyncIterator[State]:
        opened.append(state["jobs"])
        yield {}

    where = {"url": queue_url, "queue": uuid4().hex}
    await serve(extra=[Component(name="keep", lifespan=keep)], worker=where)
    for each in (jobs, *opened):
        await each.enqueue(note_down.later(1), key="one")
    assert [await waiting(each) for each in (jobs, *opened)] == [1, 1]


async def gone(jobs: Jobs) -> bool:
    """Return whether no job waits or runs."""
    return await waiting(jobs) == 0


async def test_a_job_can_wait_for_its_time(jobs: Jobs, work: Work) -> None:
    await jobs.enqueue(note_down.later(1), delay=timedelta(hours=1))
    await jobs.enqueue(note_down.later(2))
    async with work():
        await until(lambda: bool(SEEN))
    assert SEEN == [(2, None)]
    assert await waiting(jobs) == 1


async def test_a_job_takes_the_ids_and_the_principal_of_its_request_along(
    start: Start, queue_url: str, work: Work, state: State
) -> None:
    where = {"url": queue_url, "queue": state["jobs"].queue.name}
    client = await start(extra=[slice_of_parcels()], worker=where)
    trace = uuid4().hex
    sent = {"X-Correlation-ID": "order-0000007", "traceparent": f"00-{trace}-{'1' * 16}-01"}
    assert (await client.post("/noted/7", headers=sent)).status_code == 200
    sent = {"X-Correlation-ID": "order-0000008"}
    assert (await client.post("/noted/8", headers=sent, params={"fail": True})).status_code == 409
    async with work():
        await until(lambda: bool(SEEN))
    assert SEEN == [(7, "ada")]
    (ids,) = IDS
    assert ids == {"correlation_id": "order-0000007", "trace_id": trace}


@pytest.mark.skipif(bool(backend.CONFIGURATION.get("render_as_batch")), reason="jobs cannot wait in this database")
async def test_workers_that_start_at_once_on_an_empty_database_all_find_their_tables(
    configured: Callable[..., Settings],
) -> None:
    url = own_database(configured())
    assert url
    queues = [open_queue(url, "one", WorkerSettings()) for _ in range(4)]
    await asyncio.gather(*(each.connect() for each in queues))
    assert await asyncio.gather(*(each.count("incomplete") for each in queues)) == [0] * 4
    for each in queues:
        await each.disconnect()


@pytest.mark.skipif(bool(backend.CONFIGURATION.get("render_as_batch")), reason="jobs cannot wait in this database")
def test_a_queue_behind_pgbouncer_is_refused(configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"WORKER__URL: is required if DATABASE__URL is of PgBouncer"):
        own_database(configured(database={"url": "postgresql://h/d?pgbouncer=true"}))


async def test_in_tests_nothing_is_sent_and_everything_is_told(start: Start, enqueued: list[Call]) -> None:
    client = await start(extra=[slice_of_parcels()])
    await client.post("/noted/1")
    await client.post("/noted/2", params={"fail": True})
    assert enqueued == [note_down.later(1)]


async def test_without_a_url_jobs_wait_in_the_database_where_it_is_a_server(start: Start) -> None:
    client = await start(extra=[slice_of_parcels()], service={"environment": "development"})
    for number in range(3):
        await client.post(f"/noted/{number}")
    await client.post("/noted/4", params={"fail": True})
    status = await client.get("/jobs")
    if backend.CONFIGURATION.get("render_as_batch"):
        assert status.json()["code"] == "jobs_unavailable"
    else:
        assert status.json()["queued"] == 3


async def test_without_a_queue_enqueuing_is_an_error() -> None:
    with pytest.raises(JobsUnavailable, match="WORKER__URL is not set"):
        await Jobs(None, database=None, dry_run=False).enqueue(note_down.later(1))
