"""A cache that several processes share, while its server is killed, frozen and started again under load."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.extensions.valkey import Server, serve
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service

SLICE = Path(__file__).parent / "slices" / "prices.py"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    with serve(tmp_path) as server:
        yield server


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service whose owner has added a slice with a cached function."""
    made = rendered(copy=True, extensions=["redis"], sample=False)
    slices = made.root / "app" / "features"
    (slices / "prices.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [prices.component()]")
    assert "prices.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import prices\nfrom app.core.settings")
    )
    return made


@pytest.fixture
def loads(tmp_path: Path) -> Callable[[], Counter[str]]:
    """A function that counts the loads of each product, over all processes."""
    file = tmp_path / "loads"
    file.touch()
    return lambda: Counter(line.split()[0] for line in file.read_text().splitlines())


@pytest.fixture
def start(service: Rendered, run: Run, redis: Server, tmp_path: Path) -> Callable[..., Service]:
    """Starts a process of the service."""
    return lambda **settings: run(
        service, **{"REDIS__URL": redis.url, "LOADS_FILE": str(tmp_path / "loads"), **settings}
    )


def test_parallel_misses_in_two_processes_load_once(
    start: Callable[..., Service], loads: Callable[[], Counter[str]]
) -> None:
    one, other = start(), start()
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(lambda n: (one, other)[n % 2].http.get("/prices/nut", params={"seconds": 1}), range(20))
        )
    assert {answer.status_code for answer in answers} == {200}
    assert loads() == {"nut": 1}
    assert one.http.delete("/prices/nut").status_code == 200
    for _ in range(2):
        assert other.http.get("/prices/nut").json() == {"product": "nut"}
    assert loads() == {"nut": 2}


def test_one_of_two_processes_holds_a_lock(start: Callable[..., Service]) -> None:
    one, other = start(), start()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda process: process.http.post("/reports").status_code, (one, other)))
    assert sorted(answers) == [200, 409]


def test_a_process_that_is_killed_while_it_loads_leaves_the_load_to_another(
    start: Callable[..., Service], loads: Callable[[], Counter[str]]
) -> None:
    one, other = start(REDIS__LOADING_TIMEOUT="2"), start(REDIS__LOADING_TIMEOUT="2")
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(one.http.get, "/prices/nut", params={"seconds": 30})
        until(lambda: loads() == {"nut": 1}, "the first process loads")
        one.process.kill()
        started = time.monotonic()
        assert other.http.get("/prices/nut").json() == {"product": "nut"}
        assert time.monotonic() - started < 4
        assert lost.exception() is not None
    assert loads() == {"nut": 2}


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_the_server_goes_and_comes_back_under_load(
    start: Callable[..., Service], redis: Server, loads: Callable[[], Counter[str]], how: str
) -> None:
    process = start()
    slowest: dict[str, float] = {}
    phase = "before"
    running = True

    def ask(client: int) -> None:
        while running:
            now, began = phase, time.monotonic()
            answer = process.http.get(f"/prices/{client % 4}")
            slowest[now] = max(slowest.get(now, 0.0), time.monotonic() - began)
            assert answer.status_code == 200, answer.text
            time.sleep(0.01)

    with ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(ask, number) for number in range(8)]
        time.sleep(1)
        before = loads()
        phase = "begins"
        getattr(redis, how)()
        time.sleep(1.5)
        phase = "lasts"
        time.sleep(2.5)
        phase = "ends"
        redis.start() if how == "kill" else redis.thaw()
        assert process.logged(event="redis answers again")
        time.sleep(0.5)
        phase = "after"
        loaded = loads()
        time.sleep(1)
        running = False
        for client in clients:
            client.result(timeout=BOUND)
    assert before == dict.fromkeys("0123", 1)
    assert sum(loaded.values()) > 50  # the loader answered meanwhile
    assert loads() == loaded  # and does so no more
    # A cold test machine: what counts is that no one waits for the server's sake once the outage is known.
    assert slowest["begins"] < 1.5
    assert slowest["lasts"] < 0.3
    assert process.http.get("/health").json()["status"] == "ok"
    warnings = [line["event"] for line in process.lines() if line["level"] not in {"info", "debug"}]
    assert [event.partition(":")[0] for event in warnings if "redis" in event] == ["redis does not answer"]
    assert process.stop() == -signal.SIGTERM


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Server]:
    """A server that has everything again when it is started after a crash."""
    with serve(tmp_path, durable=True) as server:
        yield server


def test_what_changed_during_an_outage_is_new_though_the_service_started_again(
    start: Callable[..., Service], durable: Server, loads: Callable[[], Counter[str]]
) -> None:
    old = start(REDIS__URL=durable.url)
    for _ in range(2):
        assert old.http.get("/prices/nut").json() == {"product": "nut"}
    assert loads() == {"nut": 1}
    durable.kill()
    assert old.http.delete("/prices/nut").status_code == 200  # only this process knows
    old.kill()
    new = start(REDIS__URL=durable.url)
    assert new.http.get("/prices/pea").json() == {"product": "pea"}
    durable.start()
    assert new.logged(event="redis answers again")
    for _ in range(2):
        assert new.http.get("/prices/nut").json() == {"product": "nut"}
    assert loads() == {"nut": 2, "pea": 1}


def test_a_wrong_url_stops_the_start_with_one_line(service: Rendered) -> None:
    done = service.run("app", settings={"REDIS__URL": "postgresql://:secret-of-mine@host/0", "LOADS_FILE": "unused"})
    assert done.returncode == 2
    assert "REDIS__URL: has to look like redis://" in done.stdout
    assert "secret-of-mine" not in done.stdout
    assert "Traceback" not in done.stdout


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
