"""Jobs that begin by themselves: once for each time, by the clock of the server, and not twice at a time."""

import asyncio
import calendar
from collections.abc import Callable
from datetime import datetime
from time import time

import pytest
from saq.job import Status

from app.core.component import State
from app.extensions.worker import Job, JobFinished, Jobs, job
from app.extensions.worker.on_postgres import PostgresQueue
from app.extensions.worker.on_redis import RedisQueue
from app.extensions.worker.queues import Waiting
from app.extensions.worker.registry import WorkerSettings
from app.extensions.worker.running import Worker, try_again
from tests.extensions.worker.conftest import Work, until

EVENTS: list[str] = []
FAILING: list[str] = []
At = Callable[[str], None]


@pytest.fixture(autouse=True)
def _forget() -> None:
    EVENTS.clear()
    FAILING.clear()


@pytest.fixture
def at(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> At:
    """Sets the clock of the server: `at("2026-01-31 03:00")`."""

    def set_to(when: str) -> None:
        seconds = float(calendar.timegm(datetime.fromisoformat(when).timetuple()))

        async def clock() -> float:
            return seconds

        monkeypatch.setattr(jobs.queue, "clock", clock)

    return set_to


def nightly(every: str = "0 3 * * *") -> Job[[]]:
    """A job of the night, which fails as long as the test says so."""

    @job(every=every, tries=1)
    async def count(_: State) -> None:
        EVENTS.append("count")
        if FAILING:
            raise RuntimeError

    return count


def worker(state: State) -> Worker:
    """One that runs nothing: the test has it look at the schedules."""
    return Worker(state["jobs"].queue, WorkerSettings(), state)


async def enqueued(jobs: Jobs) -> int:
    """Return the number of jobs that wait or run."""
    assert jobs.queue
    return await jobs.queue.count("incomplete")


async def take(jobs: Jobs) -> Waiting:
    """Take the job that waits, as a worker does."""
    assert jobs.queue
    found = await jobs.queue.dequeue()
    assert found
    found.attempts += 1
    await found.update(status=Status.ACTIVE)
    return found


async def end(taken: Waiting, status: Status = Status.COMPLETE) -> None:
    """End a run, as a worker does."""
    taken.ttl = -1 if status is Status.COMPLETE else 60
    await taken.finish(status)


async def test_what_is_new_begins_at_its_next_time(jobs: Jobs, state: State, at: At) -> None:
    nightly()
    one = worker(state)
    at("2026-01-31 12:00:00")
    await one.schedule()
    at("2026-02-01 02:59:59")
    await one.schedule()
    assert await enqueued(jobs) == 0
    at("2026-02-01 03:00:00")
    await one.schedule()
    assert await enqueued(jobs) == 1


async def test_each_time_begins_once_whoever_comes_late(jobs: Jobs, state: State, at: At) -> None:
    nightly()
    workers = [worker(state) for _ in range(8)]
    at("2026-01-31 12:00:00")
    await asyncio.gather(*(each.schedule() for each in workers[:-1]))
    for day in (1, 2):
        at(f"2026-02-0{day} 03:00:00")
        await asyncio.gather(*(each.schedule() for each in workers[:-1]))
        await end(await take(jobs))
        await worker(state).schedule()
        assert await enqueued(jobs) == 0
    at("2026-02-01 03:00:00")
    await workers[-1].schedule()
    assert await enqueued(jobs) == 0, "it was asked yesterday and stood still since"


async def test_times_at_which_no_worker_ran_are_made_up_for_once(jobs: Jobs, state: State, at: At) -> None:
    nightly()
    at("2026-01-31 12:00:00")
    await worker(state).schedule()
    at("2026-02-05 12:00:00")
    for _ in range(2):
        await worker(state).schedule()
        assert await enqueued(jobs) == 1
    await end(await take(jobs))
    await worker(state).schedule()
    assert await enqueued(jobs) == 0


async def test_a_time_that_comes_while_the_last_run_goes_on_is_left_out(jobs: Jobs, state: State, at: At) -> None:
    nightly()
    one = worker(state)
    for day in (1, 2, 3):
        at(f"2026-02-0{day} 03:00:00")
        await one.schedule()
        if day == 2:
            running = await take(jobs)
    assert jobs.queue
    assert [await jobs.queue.count("active"), await jobs.queue.count("queued")] == [1, 0]
    await end(running)
    await one.schedule()
    assert await enqueued(jobs) == 0
    at("2026-02-04 03:00:00")
    await one.schedule()
    assert await enqueued(jobs) == 1


async def test_a_run_whose_worker_dies_is_begun_anew_and_its_time_is_not(jobs: Jobs, state: State, at: At) -> None:
    nightly()
    queue = jobs.queue
    assert queue
    one = worker(state)
    at("2026-02-01 03:00:00")
    await one.schedule()
    at("2026-02-02 03:00:00")
    await one.schedule()
    left = await take(jobs)
    left.retries = 2
    await left.update(status=Status.ACTIVE)

    async def swept() -> bool:
        return bool(await queue.sweep())

    await until(swept)
    await one.schedule()
    await end(await take(jobs))
    await one.schedule()
    assert await enqueued(jobs) == 0


async def test_a_run_that_failed_can_be_tried_again_until_the_next_one(
    jobs: Jobs, at: At, work: Work, finished: list[JobFinished]
) -> None:
    nightly()
    assert jobs.queue
    FAILING.append("yes")
    at("2026-02-01 12:00:00")
    async with work() as one:
        await until(lambda: "count" in one._begun)
        at("2026-02-02 12:00:00")
        await until(lambda: len(finished) == 1)
        await one.schedule()
        FAILING.clear()
        await try_again(jobs.queue)
        await until(lambda: len(finished) == 2)
        FAILING.append("yes")
        at("2026-02-03 12:00:00")
        await until(lambda: len(finished) == 3)
        FAILING.clear()
        at("2026-02-04 12:00:00")
        await until(lambda: len(finished) == 4)
    assert [event.outcome for event in finished] == ["failed", "complete", "failed", "complete"]
    await try_again(jobs.queue)
    assert await enqueued(jobs) == 0


async def test_a_new_schedule_holds_at_once(jobs: Jobs, state: State, at: At) -> None:
    nightly("0 0 1 1 *")
    at("2026-02-01 12:02:00")
    await worker(state).schedule()
    nightly("*/5 * * * *")
    one = worker(state)
    at("2026-02-01 12:05:00")
    await one.schedule()
    await end(await take(jobs))
    at("2026-02-01 12:09:59")
    await one.schedule()
    assert await enqueued(jobs) == 0


async def test_a_server_that_forgets_everything_does_not_cost_the_next_time(jobs: Jobs, state: State, at: At) -> None:
    nightly()
    one = worker(state)
    at("2026-02-01 12:00:00")
    await one.schedule()
    if isinstance(jobs.queue, PostgresQueue):
        async with jobs.queue.pool.connection() as connection:
            await connection.execute("DELETE FROM saq_slots")
    elif isinstance(jobs.queue, RedisQueue):
        await jobs.queue.redis.flushdb()
    at("2026-02-02 03:00:00")
    await one.schedule()
    assert await enqueued(jobs) == 1


async def test_what_an_older_release_has_enqueued_in_advance_is_that_times_run(
    jobs: Jobs, state: State, at: At
) -> None:
    count = nightly()
    queue = jobs.queue
    assert queue
    at("2026-02-01 12:00:00")
    in_advance = calendar.timegm((2026, 2, 2, 3, 0, 0))
    await queue.enqueue(queue.waiting(count, count.later(), key="every", scheduled=in_advance, meta={}))
    one = worker(state)
    await one.schedule()
    taken = await queue.job(f"{queue.name}:count:every")
    assert taken
    await end(taken)
    at("2026-02-02 03:00:01")
    await one.schedule()
    assert await enqueued(jobs) == 0
    at("2026-02-03 03:00:00")
    await one.schedule()
    assert await enqueued(jobs) == 1


async def test_a_date_that_never_comes_keeps_nothing_else_from_beginning(jobs: Jobs, state: State, at: At) -> None:
    @job(every="0 0 30 2 *")
    async def after_all(_: State) -> None: ...

    nightly()
    one = worker(state)
    for day in (1, 2):
        at(f"2026-02-0{day} 03:00:00")
        await one.schedule()
    assert await enqueued(jobs) == 1


async def test_the_clock_is_the_servers(jobs: Jobs) -> None:
    assert jobs.queue
    assert abs(await jobs.queue.clock() - time()) < 60
