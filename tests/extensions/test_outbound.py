"""Another service fails, stands still or is killed, and the circuit breaker is exact."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.extensions.fake_upstream import FakeUpstream
from tests.extensions.fake_upstream import serve as serve_upstream
from tests.extensions.sliced import sliced
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
def start(service: Rendered, run: Run, billing: FakeUpstream) -> Start:
    """Starts a process that tries each call once, and three failures in a row make it leave the other one alone."""
    settings = {"SERVICES__BILLING__URL": billing.url, "ATTEMPTS": "1", "FAILURES": "3", "SUCCESSES": "1"}
    calm = {f"OUTBOUND__{name}": value for name, value in {**settings, "RECOVERY": "1", "TIMEOUT": "30"}.items()}
    return lambda **more: run(service, **{**calm, "OUTBOUND__DEADLINE": "60", **more})


def ask(process: Service) -> str:
    """Return what callers get: the code of the problem, or `ok`."""
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


def test_calls_by_a_function_without_await_count_too(start: Start, billing: FakeUpstream) -> None:
    process = start()
    billing.answer("/invoices", status=500)
    path, params = f"{INVOICES}/by-thread", {"address": f"{billing.url}/invoices"}
    codes = [process.http.get(path, params=params).json()["code"] for _ in range(4)]
    assert codes == ["call_failed"] * 3 + ["circuit_open"]


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


def test_a_wrong_setting_stops_the_start_with_one_line(service: Rendered) -> None:
    done = service.run("app", settings={"OUTBOUND__TIMEOUT": "0"})
    assert done.returncode == 2
    assert "OUTBOUND__TIMEOUT: " in done.stdout


def test_the_settings_of_a_shared_breaker_are_ignored(start: Start) -> None:
    assert ask(start(OUTBOUND__STORAGE_URL="redis://localhost:6379/0")) == "ok"
