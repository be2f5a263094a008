"""One key over several processes, and what is left of it where one of them is killed."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service
from tests.tree import CHOICES

SLICE = Path(__file__).parent / "slices" / "deeds.py"


@pytest.fixture(scope="module", params=CHOICES["database"])
def service(request: pytest.FixtureRequest, rendered: Make) -> Rendered:
    """A service on each database, whose owner has added a slice of deeds."""
    made = rendered(copy=True, extensions=["idempotency"], sample=False, database=request.param)
    slices = made.root / "app" / "features"
    (slices / "deeds.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [deeds.component()]")
    assert "deeds.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import deeds\nfrom app.core.settings")
    )
    return made


@pytest.fixture
def start(service: Rendered, run: Run, tmp_path: Path) -> Callable[..., Service]:
    """Starts a process of the service."""
    (tmp_path / "deeds").touch()
    return lambda **settings: run(service, **{"DEEDS_FILE": str(tmp_path / "deeds"), **settings})


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[], Counter[str]]:
    """A function that counts how often a deed has begun, and how often it has been committed."""
    return lambda: Counter((tmp_path / "deeds").read_text().split())


def post(process: Service, key: str, **params: float) -> httpx2.Response:
    """Ask for a deed."""
    return process.http.post("/api/v1/deeds", params=params, headers={"Idempotency-Key": key})


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_twenty_parallel_repetitions_to_two_processes_do_it_once(
    start: Callable[..., Service], begun: Callable[[], Counter[str]]
) -> None:
    processes, key = [start(), start()], str(uuid4())
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: post(processes[n % 2], key, after=0.5), range(20)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1
    assert begun() == {"before": 1, "after": 1}
    again = [post(process, key, after=0.5) for process in processes]
    assert {(answer.status_code, answer.headers["idempotency-replayed"]) for answer in again} == {(201, "true")}
    assert begun() == {"before": 1, "after": 1}


def test_a_process_that_is_killed_before_its_commit_leaves_the_key_free(
    start: Callable[..., Service], begun: Callable[[], Counter[str]]
) -> None:
    one, other = (start(IDEMPOTENCY__LEASE="2") for _ in range(2))
    key = str(uuid4())
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(post, one, key, before=20)
        until(lambda: begun()["before"] == 1, "the first process has begun")
        one.process.kill()
        assert lost.exception() is not None
    assert post(other, key, before=20).json()["code"] == "request_in_progress"
    time.sleep(2.1)
    answer = post(other, key)  # another query, so another request
    assert answer.json()["code"] == "idempotency_key_reused"
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(post, other, key, before=20)
        until(lambda: begun()["before"] == 2, "the second process has begun")
        other.process.kill()
        assert second.exception() is not None
    assert begun() == {"before": 2}


def test_a_process_that_is_killed_after_its_commit_has_done_it_for_good(
    start: Callable[..., Service], begun: Callable[[], Counter[str]]
) -> None:
    one, other = (start(IDEMPOTENCY__LEASE="1") for _ in range(2))
    key = str(uuid4())
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(post, one, key, after=20)
        until(lambda: begun()["after"] == 1, "the first process has committed")
        one.process.kill()
        assert lost.exception() is not None
    time.sleep(1.1)
    answer = post(other, key, after=20)
    assert answer.status_code == 409
    assert answer.json()["code"] == "answer_not_kept"
    assert begun() == {"before": 1, "after": 1}


def test_answers_outlive_a_restart(start: Callable[..., Service]) -> None:
    key = str(uuid4())
    first = start()
    answer = post(first, key)
    first.stop()
    again = post(start(), key)
    assert again.status_code == 201
    assert again.content == answer.content
    assert again.headers["idempotency-replayed"] == "true"
