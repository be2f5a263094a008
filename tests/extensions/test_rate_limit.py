"""One limit over several processes, exactly, and what becomes of it while its storage is away."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.extensions.valkey import Server, serve
from tests.live.conftest import Make, Run
from tests.live.service import Rendered, Service

NOTHING = "/api/v1/nothing"


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    with serve(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service with limits."""
    return rendered(extensions=["rate_limit"], sample=False)


def ask(processes: list[Service], times: int) -> Counter[int]:
    """Send so many requests side by side, to one process and the next, and count the answers."""
    with ThreadPoolExecutor(16) as pool:
        numbers = pool.map(lambda n: processes[n % len(processes)].http.get(NOTHING).status_code, range(times))
        return Counter(numbers)


def test_two_processes_on_one_storage_let_pass_exactly_what_the_limit_says(
    service: Rendered, run: Run, storage: Server
) -> None:
    processes = [run(service, RATE_LIMIT__ENABLED="true", RATE_LIMIT__STORAGE_URL=storage.url) for _ in range(2)]
    assert ask(processes, 100) == {404: 60, 429: 40}
    assert processes[0].http.get("/health/live").status_code == 200


def test_workers_without_a_storage_count_each_for_themselves_and_the_start_says_so(service: Rendered, run: Run) -> None:
    process = run(service, RATE_LIMIT__ENABLED="true", SERVER__WORKERS="2", RATE_LIMIT__PER_MINUTE="5")
    assert process.logged(logger="app.extensions.rate_limit", level="warning")
    assert 5 <= ask([process], 40)[404] <= 10


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_without_the_storage_the_limit_holds_in_each_process_until_it_is_back(
    service: Rendered, run: Run, storage: Server, how: str
) -> None:
    settings = {"RATE_LIMIT__STORAGE_URL": storage.url, "RATE_LIMIT__PER_MINUTE": "20"}
    processes = [run(service, RATE_LIMIT__ENABLED="true", **settings) for _ in range(2)]
    assert ask(processes, 10) == {404: 10}
    getattr(storage, how)()
    assert ask(processes, 100) == {404: 40, 429: 60}
    storage.start() if how == "kill" else storage.thaw()
    for process in processes:
        assert process.logged(event="the storage of the rate limit answers again")
    passed = ask(processes, 50)[404]
    if how == "kill":
        assert passed == 20  # a new server knows nothing of before
    else:
        assert passed <= 10  # it has counted what was on its way to it when it froze
    for process in processes:
        warned = [line for line in process.lines() if line["level"] == "warning" and "storage" in line["event"]]
        assert len(warned) == 1


def test_the_limits_of_all_share_the_server_of_the_cache_where_both_are_ticked(
    rendered: Make, run: Run, storage: Server
) -> None:
    service = rendered(copy=True, extensions=["redis", "rate_limit"], sample=False)
    example = (service.root / ".env.example").read_text()
    assert "\nRATE_LIMIT__STORAGE_URL=${REDIS__URL}\n" in example
    (service.root / ".env").write_text(example)
    processes = [
        run(service, RATE_LIMIT__ENABLED="true", REDIS__URL=storage.url, RATE_LIMIT__PER_MINUTE="10") for _ in range(2)
    ]
    assert ask(processes, 30) == {404: 10, 429: 20}
