"""A service and a worker of two releases: what one of them does not know waits, or is kept, and is told."""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

import pytest
from saq.job import Status

from app.core.component import State
from app.extensions.worker import Call, JobFinished, Jobs, job, queues, registry
from app.extensions.worker.on_postgres import PostgresQueue
from app.extensions.worker.running import try_again
from tests.conftest import Start
from tests.extensions.worker.conftest import Work, until

SEEN: list[Any] = []
SECRET = "hunter2hunter2"  # noqa: S105


@job(tries=2, delay=0.01)
async def greet(_: State, name: str) -> None:
    """Of this release."""
    SEEN.append(name)


@pytest.fixture(autouse=True)
def _forget() -> None:
    SEEN.clear()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Takes `greet` from what workers know, until the function is called."""
    monkeypatch.setattr(queues, "ELSEWHERE", 2)
    known = registry._declared.pop("greet")

    def learn() -> None:
        registry._declared["greet"] = known

    return learn


async def test_a_job_that_a_worker_does_not_know_waits_for_one_that_does(
    jobs: Jobs,
    work: Work,
    unknown: Callable[[], None],
    finished: list[JobFinished],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert jobs.queue
    await jobs.queue.enqueue(jobs.queue.waiting(greet, greet.later("ada"), key=None, scheduled=0, meta={}))
    delays: list[float] = []
    swap = jobs.queue._swap

    async def counting(*arguments: Any) -> bool:
        delay = arguments[2] - time()
        done = await swap(*arguments)
        delays.append(delay)
        return done

    monkeypatch.setattr(jobs.queue, "_swap", counting)
    async with work():
        await until(lambda: len(delays) > greet.tries)
    assert await jobs.queue.count("incomplete") == 1
    assert await jobs.queue.count("active") == 0
    assert min(delays) > -0.5, "it is not due at once, or this worker would do nothing else"
    assert caplog.text.count("job greet is not known to this worker") == 1, "once a minute"
    assert finished == []
    unknown()
    async with work():
        await until(lambda: bool(finished))
    assert [(event.outcome, event.attempts) for event in finished] == [("complete", 1)]
    assert SEEN == ["ada"]


@pytest.mark.usefixtures("unknown")
async def test_a_job_that_is_handed_over_before_the_commit_of_that_is_put_back_too(jobs: Jobs) -> None:
    queue = jobs.queue
    assert queue
    if not isinstance(queue, PostgresQueue):
        return  # no commits there
    taken = queue.waiting(greet, greet.later("ada"), key=None, scheduled=0, meta={})
    await queue.enqueue(taken)
    async with queue.pool.connection() as connection, connection.transaction():
        await queue._update(taken, status=Status.ACTIVE, connection=connection)
        putting_back = asyncio.create_task(queue._put_back(taken))
        assert await asyncio.wait([putting_back], timeout=0.5) == (set(), {putting_back})
    await putting_back
    assert [await queue.count("incomplete"), await queue.count("active")] == [1, 0]


@pytest.mark.usefixtures("unknown")
async def test_operators_see_which_jobs_a_worker_does_not_know(
    start: Start, jobs: Jobs, work: Work, queue_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert jobs.queue
    client = await start(worker={"url": queue_url, "queue": jobs.queue.name})
    await jobs.queue.enqueue(jobs.queue.waiting(greet, greet.later("ada"), key=None, scheduled=0, meta={}))
    async with work() as worker:
        await until(lambda: "is not known" in caplog.text)
        await worker.worker_info()
        (seen,) = (await client.get("/jobs")).json()["workers"]
    assert seen["unknown"] == ["greet"]


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"name": "ada", "surname": SECRET}, "unexpected keyword argument 'surname'"),
        ({}, "missing a required argument: 'name'"),
        ({"name": [SECRET]}, "name: Input should be a valid string"),
    ],
)
async def test_arguments_that_cannot_be_read_are_told_with_their_cause_and_kept(
    jobs: Jobs,
    work: Work,
    finished: list[JobFinished],
    caplog: pytest.LogCaptureFixture,
    arguments: dict[str, Any],
    cause: str,
) -> None:
    assert jobs.queue
    await jobs.enqueue(Call("greet", arguments))
    async with work():
        await until(lambda: bool(finished))
    assert [(event.outcome, event.attempts) for event in finished] == [("failed", 2)]
    assert "job greet cannot read its stored arguments, did another release enqueue it?" in caplog.text
    assert cause in caplog.text
    assert SECRET not in caplog.text

    @job()
    async def greet(_: State, name: Any = "no one", surname: str = "") -> None:
        """Of the next release."""
        SEEN.append((name, surname))

    await try_again(jobs.queue)
    async with work():
        await until(lambda: len(finished) == 2)
    assert finished[1].outcome == "complete"
    assert SEEN.pop() == (arguments.get("name", "no one"), arguments.get("surname", ""))


async def test_a_result_that_cannot_be_stored_is_none_of_the_queues_business(
    jobs: Jobs, work: Work, finished: list[JobFinished]
) -> None:
    @job(tries=1)
    async def make(_: State) -> object:
        return object()

    await jobs.enqueue(make.later())
    async with work():
        await until(lambda: bool(finished))
    assert [event.outcome for event in finished] == ["complete"]


async def test_an_error_that_cannot_be_written_down_is_a_failure_like_any(
    jobs: Jobs, work: Work, finished: list[JobFinished]
) -> None:
    class Odd(Exception):
        def __init__(self) -> None:
            super().__init__(object())

        def __str__(self) -> str:
            raise RuntimeError

    @job(tries=1)
    async def fall(_: State, how: str) -> None:
        raise Odd if how == "odd" else ValueError("\ud800 \x00")

    assert jobs.queue
    for how in ("odd", "lone surrogate"):
        await jobs.enqueue(fall.later(how))
    async with work():
        await until(lambda: len(finished) == 2)
    assert [event.outcome for event in finished] == ["failed", "failed"]
    await try_again(jobs.queue)
    assert await jobs.queue.count("incomplete") == 2
