"""The status of jobs, for operators."""

from app.core.component import State
from app.extensions.worker import Jobs, job
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


async def test_others_do_not(start: Start, queue_url: str) -> None:
    client = await start(address="8.8.8.8", worker={"url": queue_url}, health={"key": KEY})
    assert (await client.get("/jobs")).status_code == 401
    assert (await client.get("/jobs", headers={"X-Health-Key": KEY})).status_code == 200
