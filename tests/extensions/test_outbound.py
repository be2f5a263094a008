"""Another service fails, stands still or is killed, and one circuit breaker over several processes is exact."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.extensions.fake_upstream import FakeUpstream
from tests.extensions.fake_upstream import serve as serve_upstream
from tests.extensions.sliced import sliced
from tests.extensions.valkey import Server, serve
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service

INVOICES = "/api/v1/invoices"
Start = Callable[..., Service]
Ask = Callable[[Service], str]


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service that calls another one."""
    return sliced(rendered, "invoices", extensions=["outbound"])


@pytest.fixture
def billing(tmp_path: Path) -> Iterator[FakeUpstream]:
    """The other service, which is well."""
    with serve_upstream(tmp_path / "billing") as fake_upstream:
        fake_upstream.answer("/invoices", ["one"])
        yield fake_upstream


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Server]:
    """Where several processes share their breakers."""
    with serve(tmp_path) as server:
        yield server


@pytest.fixture
def start(service: Rendered, run: Run, billing: FakeUpstream) -> Start:
    """Starts a process that tries each call once, and three failures in a row make it leave the other one alone."""
    settings = {"SERVICES__BILLING__URL": billing.url, "ATTEMPTS": "1", "FAILURES": "3", "SUCCESSES": "1"}
    calm = {f"OUTBOUND__{name}": value for name, value in {**settings, "RECOVERY": "1", "TIMEOUT": "30"}.items()}
    return lambda **more: run(service, **{**calm, "OUTBOUND__DEADLINE": "60", **more})


def ask(process: Service) -> str:
    """What callers get: the code of the problem, or `ok`."""
    answer = process.http.get(INVOICES)
    if answer.status_code == 200:
        return "ok"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status_code == 502
    return str(answer.json()["code"])


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def probed_by(processes: list[Service], billing: FakeUpstream, calls: int = 50) -> Counter[str]:
    """Open the breaker, let its time pass, and send calls side by side; the one that gets through ends last."""
    billing.answer("/invoices", status=500)
    codes = [ask(processes[n % len(processes)]) for n in range(4)]
    assert codes == ["call_failed"] * 3 + ["circuit_open"]
    billing.answer("/invoices", held=True)
    before = billing.asked()["/invoices"]
    time.sleep(1.1)
    with ThreadPoolExecutor(calls) as pool:
        tried: list[Future[str]] = [pool.submit(ask, processes[n % len(processes)]) for n in range(calls)]
        until(lambda: sum(each.done() for each in tried) == calls - 1, "all but the probe have ended")
        assert billing.asked()["/invoices"] == before + 1
        billing.answer("/invoices", ["one"])
        return Counter(each.result(timeout=BOUND) for each in tried)


def test_of_50_parallel_calls_exactly_one_probes(start: Start, billing: FakeUpstream) -> None:
    process = start()
    assert probed_by([process], billing) == {"ok": 1, "circuit_open": 49}
    assert ask(process) == "ok"
    changes = [line["state"] for line in process.lines() if line["event"] == "breaker changed"]
    assert changes == ["open", "half_open", "closed"]


def test_two_processes_on_one_storage_count_together_and_send_one_probe(
    start: Start, billing: FakeUpstream, storage: Server
) -> None:
    settings = {"OUTBOUND__STORAGE_URL": storage.url, "OUTBOUND__STORAGE_TIMEOUT": "20"}
    processes = [start(**settings) for _ in range(2)]
    assert probed_by(processes, billing) == {"ok": 1, "circuit_open": 49}
    assert [ask(process) for process in processes] == ["ok", "ok"]
    # A call by a function without `await` is one of them.
    billing.answer("/invoices", status=500)
    by_thread = [
        processes[n % 2].http.get(f"{INVOICES}/by-thread", params={"address": f"{billing.url}/invoices"})
        for n in range(4)
    ]
    assert [answer.json()["code"] for answer in by_thread] == ["call_failed"] * 3 + ["circuit_open"]
    # The one that probes is killed: when its time is over the other one does.
    billing.answer("/invoices", held=True)
    lost, other = start(**settings, OUTBOUND__TIMEOUT="2"), processes[0]
    before = billing.asked()["/invoices"]
    time.sleep(1.1)
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(ask, lost)
        until(lambda: billing.asked()["/invoices"] == before + 1, "it probes")
        lost.process.kill()
        assert probe.exception() is not None
    assert ask(other) == "circuit_open"
    billing.answer("/invoices", ["one"])
    until(lambda: ask(other) == "ok", "another call probes")


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_without_the_storage_each_process_has_its_own_and_no_call_suffers(
    start: Start, billing: FakeUpstream, storage: Server, how: str
) -> None:
    process = start(OUTBOUND__STORAGE_URL=storage.url, OUTBOUND__RECOVERY="600")
    assert ask(process) == "ok"
    getattr(storage, how)()
    with ThreadPoolExecutor(16) as pool:
        assert Counter(pool.map(ask, [process] * 64)) == {"ok": 64}
    billing.answer("/invoices", status=500)
    assert [ask(process) for _ in range(5)] == ["call_failed"] * 3 + ["circuit_open"] * 2
    billing.answer("/invoices", ["one"])
    storage.start() if how == "kill" else storage.thaw()
    assert process.logged(event="the storage of the circuit breakers answers again")
    assert ask(process) == "ok"  # what all processes know counts again
    warned = [line for line in process.lines() if line["level"] == "warning" and "storage" in line["event"]]
    assert len(warned) == 1


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_another_service_that_is_gone_or_stands_still_is_left_alone_until_it_is_back(
    start: Start, billing: FakeUpstream, how: str
) -> None:
    process = start(OUTBOUND__TIMEOUT="1", OUTBOUND__RECOVERY="2")
    assert ask(process) == "ok"
    getattr(billing, how)()
    codes = [ask(process) for _ in range(3)]
    assert codes == ["call_failed"] * 3
    answer = process.http.get(INVOICES)
    assert answer.json()["code"] == "circuit_open"
    assert int(answer.headers["retry-after"]) >= 1
    assert process.http.get("/health/ready").status_code == 200
    until(lambda: process.http.get("/health").json()["parts"]["outbound"]["status"] == "failed", "it shows")
    billing.start() if how == "kill" else billing.thaw()
    until(lambda: ask(process) == "ok", "it is called again")
    outcomes = {line["outcome"] for line in process.logged(event="call finished", peer_service="billing")}
    assert {"200", "CircuitOpen"} < outcomes


def test_all_share_the_server_of_the_cache_where_both_are_ticked(rendered: Make) -> None:
    example = (
        rendered(extensions=["redis", "outbound"], sample=False, migrated=False).root / ".env.example"
    ).read_text()
    assert "\nOUTBOUND__STORAGE_URL=${REDIS__URL}\n" in example


def test_a_wrong_setting_stops_the_start_with_one_line(service: Rendered) -> None:
    done = service.run("app", settings={"OUTBOUND__STORAGE_URL": "amqp://:secret-of-mine@host/0"})
    assert done.returncode == 2
    assert "OUTBOUND__STORAGE_URL: has to look like redis://" in done.stdout
    assert "secret-of-mine" not in done.stdout
