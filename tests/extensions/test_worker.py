"""Jobs are carried out by processes of their own, and none is lost when one of these, or the queue, is killed."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.extensions import valkey
from tests.extensions.worker_service import SERVERS, Server, WorkerService, until
from tests.live import postgres
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered

SLICE = Path(__file__).parent / "slices" / "chores.py"


@pytest.fixture(scope="module", params=SERVERS)
def base(request: pytest.FixtureRequest) -> str:
    """Each database in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that jobs wait in, which these tests may hurt."""
    kept = tmp_path_factory.mktemp("hurt")
    with valkey.serve(kept, durable=True) if base == "sqlite" else postgres.serve() as found:
        yield found


@pytest.fixture(scope="module")
def service(base: str, server: Server, rendered: Make) -> Rendered:
    """A service whose owner has added a slice of chores."""
    url = server.database() if isinstance(server, postgres.Server) else None
    made = rendered(copy=True, extensions=SERVERS[base], sample=False, database=base, url=url)
    slices = made.root / "app" / "features"
    (slices / "chores.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [chores.component()]")
    assert "chores.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import chores\nfrom app.core.settings")
    )
    return made


@pytest.fixture
def worker_service(service: Rendered, server: Server, run: Run, tmp_path: Path) -> Iterator[WorkerService]:
    """All of it, gone at the end."""
    made = WorkerService(service, server, tmp_path, run)
    yield made
    for worker in made.workers:
        worker.kill()


def test_jobs_are_done_once_by_two_workers_under_the_ids_of_their_requests(worker_service: WorkerService) -> None:
    workers = [worker_service.work(), worker_service.work()]
    for number in range(40):
        worker_service.enqueue(f"room-{number}", seconds=0.1)
    until(lambda: sum(worker_service.noted().values()) == 80, worker_service.text())
    assert set(worker_service.noted().values()) == {1}
    logs = [worker.log.read_text() for worker in workers]
    assert all("cleaning" in log for log in logs)
    line = next(line for log in logs for line in log.splitlines() if '"room-7"' in line)
    assert '"correlation_id":"chore-room-7"' in line
    assert '"open":true' in line
    status = worker_service.service.http.get("/jobs").json()
    assert {worker["process"] for worker in status["workers"]} == {worker.process.pid for worker in workers}


def test_what_a_killed_worker_was_doing_is_done_by_another_one(worker_service: WorkerService) -> None:
    first = worker_service.work()
    for number in range(5):
        worker_service.enqueue(f"killed-{number}", slowly=True)
    until(lambda: sum(worker_service.noted().values()) == 5, worker_service.text())
    first.kill()
    worker_service.enqueue("later")
    second = worker_service.work()
    until(lambda: len([note for note in worker_service.noted() if note.startswith("end ")]) == 6, worker_service.text())
    until(lambda: worker_service.service.http.get("/jobs").json()["active"] == 0, worker_service.text())
    assert set(worker_service.noted().values()) == {1, 2}
    assert "a worker was not heard of" in second.log.read_text()


def test_a_worker_that_is_told_to_stop_finishes_what_it_does_and_leaves_the_rest(worker_service: WorkerService) -> None:
    first = worker_service.work(WORKER__SHUTDOWN_TIMEOUT="600")  # and not as long: no one waits for what is idle
    worker_service.enqueue("short", seconds=2)
    until(lambda: worker_service.noted()["begin short"] == 1, worker_service.text())
    assert first.stop() == 0
    assert worker_service.noted()["end short"] == 1
    worker_service.enqueue("rest")
    second = worker_service.work(WORKER__SHUTDOWN_TIMEOUT="1")
    worker_service.enqueue("long", slowly=True)
    until(
        lambda: worker_service.noted()["begin long"] == 1 and worker_service.noted()["end rest"] == 1,
        worker_service.text(),
    )
    assert second.stop() == 0
    worker_service.work()
    until(lambda: worker_service.noted()["end long"] == 1, worker_service.text())
    until(
        lambda: worker_service.service.http.get("/jobs").json()["active"] == 0, worker_service.text()
    )  # else it is repeated
    assert worker_service.noted() == {
        "begin short": 1,
        "end short": 1,
        "begin rest": 1,
        "end rest": 1,
        "begin long": 2,
        "end long": 1,
    }


def test_no_job_is_lost_when_the_server_of_the_queue_is_killed(worker_service: WorkerService) -> None:
    rooms = [f"restart-{number}" for number in range(12)]
    for room in rooms[:6]:
        worker_service.enqueue(room, seconds=1)
    worker = worker_service.work(WORKER__CONCURRENCY="2")
    until(lambda: sum(worker_service.noted().values()) >= 2, worker_service.text())
    worker_service.server.kill()
    time.sleep(1)
    worker_service.server.start()
    until(lambda: worker_service.service.http.get("/jobs").status_code == 200, worker_service.text())
    for room in rooms[6:]:
        worker_service.enqueue(room)
    until(lambda: {f"end {room}" for room in rooms} <= set(worker_service.noted()), worker_service.text())
    assert worker.process.poll() is None


def test_a_frozen_server_is_said_in_time_and_used_again_when_it_goes_on(worker_service: WorkerService) -> None:
    worker_service.enqueue("before")
    worker_service.server.freeze()
    started = time.monotonic()
    refused = worker_service.service.http.post("/api/v1/chores/meanwhile", timeout=BOUND)
    waited = time.monotonic() - started
    worker_service.server.thaw()
    ours = isinstance(worker_service.server, postgres.Server)
    # On another server the job is sent after the commit, so that its data is stored.
    said = (503, "database_unreachable") if ours else (500, "follow_up_failed")
    assert (refused.status_code, refused.json()["code"]) == said
    assert waited < 10, "four seconds, on a busy machine"
    until(lambda: worker_service.service.http.get("/jobs").status_code == 200, worker_service.text())
    worker_service.enqueue("after")


def test_what_has_a_schedule_begins_by_itself_once_over_all_workers(worker_service: WorkerService) -> None:
    started = time.time()
    for _ in range(2):
        worker_service.work(CHORES_EVERY="* * * * * */2")
    until(lambda: worker_service.noted()["end ring"] >= 3, worker_service.text())
    assert worker_service.noted()["end ring"] <= (time.time() - started) / 2 + 1


@pytest.mark.parametrize("ahead", [-1.2, 30])
def test_each_time_of_a_schedule_begins_one_run_though_clocks_differ(
    worker_service: WorkerService, ahead: float
) -> None:
    started = time.time()
    worker_service.work(CHORES_EVERY="* * * * * */2")
    worker_service.work(CHORES_EVERY="* * * * * */2", ahead=ahead)
    time.sleep(10)
    runs, times = worker_service.noted()["end ring"], (time.time() - started) / 2
    assert times / 2 < runs <= times + 2  # one more may make up for the time since the last test


def test_a_job_that_an_older_worker_does_not_know_is_done_by_a_newer_one(worker_service: WorkerService) -> None:
    older = worker_service.work(CHORES_OLDER="yes")
    worker_service.enqueue("new")
    until(lambda: "job clean is not known to this worker" in older.log.read_text(), older.log.read_text())

    def met() -> list[list[str]]:
        workers = worker_service.service.http.get("/jobs").json()["workers"]
        return [worker["unknown"] for worker in workers if worker["process"] == older.process.pid]

    until(lambda: met() == [["clean"]], worker_service.text())
    worker_service.work()
    until(lambda: worker_service.noted()["end new"] == 1, worker_service.text())
    assert worker_service.noted() == {"begin new": 1, "end new": 1}


def test_the_queues_tables_are_none_of_the_migrations_business(worker_service: WorkerService) -> None:
    worker_service.enqueue("any")
    checked = worker_service.rendered.run("alembic", "check", settings=worker_service.settings)
    assert checked.returncode == 0, checked.stdout
    if isinstance(worker_service.server, postgres.Server):
        found = worker_service.server.execute("SELECT count(*) FROM saq_jobs", url=worker_service.rendered.database)
        assert int(found) >= 1
