"""A worker: what it does with jobs that fail, take too long or begin by themselves, and how it stops."""

import asyncio
from typing import Any

import pytest
from saq.job import Status

from app.core.component import State
from app.extensions.worker import JobFailed, JobFinished, Jobs, job
from app.extensions.worker.running import try_again
from tests.extensions.worker.conftest import Work, until

EVENTS: list[Any] = []


@job(tries=3, delay=0.01)
async def stumble(_: State, times: int) -> None:
    """Fails so often."""
    EVENTS.append("tried")
    if EVENTS.count("tried") <= times:
        raise RuntimeError("the secret is hunter2hunter2")


@job(tries=1, timeout=0.2)
async def dawdle(_: State) -> None:
    """Takes too long."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        EVENTS.append("given up")
        raise


@job()
async def take(_: State, seconds: float) -> None:
    """Takes its time."""
    EVENTS.append("begun")
    await asyncio.sleep(seconds)
    EVENTS.append("ended")


@pytest.fixture(autouse=True)
def _forget() -> None:
    EVENTS.clear()


async def test_a_job_that_fails_is_tried_again(
    jobs: Jobs, work: Work, finished: list[JobFinished], failed: list[JobFailed]
) -> None:
    await jobs.enqueue(stumble.later(2))
    async with work():
        await until(lambda: bool(finished))
    (event,) = finished
    assert (event.outcome, event.attempts) == ("complete", 3)
    assert [(each.attempt, each.retried) for each in failed] == [(1, True), (2, True)]


async def test_after_its_last_try_it_is_kept_until_somebody_tries_it_again(
    jobs: Jobs, work: Work, finished: list[JobFinished], caplog: pytest.LogCaptureFixture
) -> None:
    assert jobs.queue
    await jobs.enqueue(stumble.later(times=3))
    async with work():
        await until(lambda: bool(finished))
    assert finished[0].outcome == "failed"
    assert "job stumble failed (try 3 of 3)" in caplog.text
    assert "'times'" not in caplog.text, "arguments may be anything, and the log is read by many"
    await try_again(jobs.queue)
    async with work():
        await until(lambda: len(finished) == 2)
    assert finished[1].outcome == "complete"


async def test_somebody_who_tries_it_again_waits_for_no_delay(
    jobs: Jobs, work: Work, finished: list[JobFinished]
) -> None:
    @job(tries=1, delay=600)
    async def fail_once(_: State) -> None:
        EVENTS.append("tried")
        if EVENTS.count("tried") == 1:
            raise RuntimeError

    assert jobs.queue
    await jobs.enqueue(fail_once.later())
    async with work():
        await until(lambda: len(finished) == 1)
        await try_again(jobs.queue)
        await until(lambda: len(finished) == 2)
    assert [event.outcome for event in finished] == ["failed", "complete"]


async def test_by_default_the_tries_of_a_job_outlast_an_outage_of_minutes(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saq.utils.random", lambda: 0.5)  # the mean of the jitter
    assert jobs.queue
    waiting = jobs.queue.waiting(take, take.later(0), key=None, scheduled=0, meta={})
    delays = []
    for attempt in range(1, waiting.retries):
        waiting.attempts = attempt
        delays.append(waiting.next_retry_delay())
    assert delays == [15, 30, 60, 120]


async def test_a_try_that_takes_too_long_is_given_up(
    jobs: Jobs, work: Work, finished: list[JobFinished], failed: list[JobFailed]
) -> None:
    await jobs.enqueue(dawdle.later())
    async with work():
        await until(lambda: bool(finished))
    assert EVENTS.count("given up") == 1
    assert isinstance(failed[0].error, TimeoutError)
    assert finished[0].outcome == "failed"


async def test_a_job_that_cancels_itself_has_failed(jobs: Jobs, work: Work, finished: list[JobFinished]) -> None:
    @job(tries=2, delay=0.01)
    async def give_up(_: State) -> None:
        raise asyncio.CancelledError

    await jobs.enqueue(give_up.later())
    async with work():
        await until(lambda: bool(finished))
    assert [(event.outcome, event.attempts) for event in finished] == [("failed", 2)]


async def test_it_stops_when_what_runs_has_ended_and_at_once_when_nothing_does(
    jobs: Jobs, work: Work, finished: list[JobFinished]
) -> None:
    async with work(shutdown_timeout=30):
        await jobs.enqueue(take.later(1))
        await until(lambda: "begun" in EVENTS)
        for _ in range(5):
            await jobs.enqueue(take.later(0))
    assert EVENTS.count("ended") >= 1
    assert "complete" in {event.outcome for event in finished}


async def test_what_does_not_end_in_time_is_begun_anew_and_that_was_no_try(
    jobs: Jobs, work: Work, finished: list[JobFinished]
) -> None:
    await jobs.enqueue(take.later(3))
    async with asyncio.timeout(15):  # without the delay of a try
        for _ in range(2):
            async with work(shutdown_timeout=0):
                begun = EVENTS.count("begun")
                await until(lambda begun=begun: EVENTS.count("begun") > begun)
        async with work():
            await until(lambda: bool(finished))
    (event,) = finished
    assert (event.outcome, event.attempts) == ("complete", 1)
    assert event.duration > 3
    assert EVENTS.count("ended") == 1


async def test_a_long_job_is_not_taken_for_a_dead_one(jobs: Jobs, work: Work, finished: list[JobFinished]) -> None:
    await jobs.enqueue(take.later(6))
    async with work(), work():
        await until(lambda: bool(finished))
    assert EVENTS.count("begun") == 1


@pytest.mark.parametrize(("tries", "outcomes"), [(1, ["aborted"]), (2, [])])
async def test_a_job_whose_worker_dies_is_begun_anew_unless_that_was_its_last_try(
    jobs: Jobs, finished: list[JobFinished], tries: int, outcomes: list[str]
) -> None:
    @job(tries=tries)
    async def explode(_: State) -> None: ...

    queue = jobs.queue
    assert queue
    await jobs.enqueue(explode.later())
    taken = await queue.dequeue()
    assert taken
    taken.attempts = 1
    await taken.update(status=Status.ACTIVE)  # and its worker says nothing any more

    async def swept() -> bool:
        return bool(await queue.sweep())

    await until(swept)
    assert [event.outcome for event in finished] == outcomes
    assert await queue.count("queued") == tries - 1


async def test_a_worker_warns_of_a_server_that_may_lose_jobs(
    state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    queue = state["jobs"].queue
    await queue.advise()
    assert "loses jobs" not in caplog.text
    if redis := getattr(queue, "redis", None):

        async def careless() -> dict[str, Any]:
            return {"aof_enabled": 0, "maxmemory_policy": "allkeys-lru"}

        monkeypatch.setattr(redis, "info", careless)
        await queue.advise()
        assert caplog.text.count("loses jobs") == 2


async def test_what_has_a_schedule_begins_by_itself_and_not_twice_at_a_time(jobs: Jobs, work: Work) -> None:
    @job(every="* * * * * */1")
    async def ring(_: State) -> None:
        EVENTS.append("ring")

    async with work(), work():
        await until(lambda: EVENTS.count("ring") >= 2)
    assert jobs.queue
    assert await jobs.queue.count("incomplete") <= 1
