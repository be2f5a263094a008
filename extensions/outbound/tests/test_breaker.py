"""The circuit breaker: when it opens, whom it lets try, and when it closes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from app.extensions.outbound import BreakerChanged, CallFailed, CircuitOpen
from app.extensions.outbound.breaker import Breaker
from app.extensions.outbound.settings import Policy
from tests.extensions.outbound.conftest import Connect
from tests.extensions.outbound.other import Other

POLICY = Policy(failures=3, successes=2, recovery=10)


class FakeTime:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> FakeTime:
    """The time of the breaker."""
    return FakeTime()


@pytest.fixture
def breaker(clock: FakeTime) -> Breaker:
    """A closed breaker: three failures open it, two successes close it."""
    return Breaker("billing", POLICY, clock)


def fail(breaker: Breaker, times: int = 1) -> None:
    """Calls that fail, one after another."""
    for _ in range(times):
        breaker.settle(breaker.admit(), succeeded=False)


def opened(breaker: Breaker, clock: FakeTime) -> None:
    """Open it, and let its time pass."""
    fail(breaker, 3)
    clock.now += 10


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.settle(breaker.admit(), succeeded=True)
    fail(breaker, 2)
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_while_open_no_call_passes_and_is_told_how_long(breaker: Breaker, clock: FakeTime) -> None:
    fail(breaker, 3)
    clock.now += 6
    with pytest.raises(CircuitOpen) as refused:
        breaker.admit()
    assert refused.value.headers == {"Retry-After": "4"}
    assert refused.value.status == 502


def test_it_closes_after_so_many_successes_in_a_row(breaker: Breaker, clock: FakeTime, told: list[Any]) -> None:
    opened(breaker, clock)
    breaker.settle(breaker.admit(), succeeded=True)
    assert breaker.state == "half_open"
    breaker.settle(breaker.admit(), succeeded=True)
    assert breaker.state == "closed"
    assert told == [BreakerChanged("billing", state) for state in ("open", "half_open", "closed")]


def test_a_failed_probe_opens_it_for_the_whole_time_again(breaker: Breaker, clock: FakeTime) -> None:
    opened(breaker, clock)
    breaker.settle(breaker.admit(), succeeded=True)
    fail(breaker)
    assert breaker.state == "open"
    clock.now += 9.9
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_of_50_threads_exactly_one_probes(breaker: Breaker, clock: FakeTime) -> None:
    opened(breaker, clock)
    together = Barrier(50)

    def try_it(_: int) -> bool:
        together.wait(timeout=10)
        try:
            breaker.admit()
        except CircuitOpen:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(try_it, range(50))) == 1


def test_a_cancelled_probe_makes_way_for_another(breaker: Breaker, clock: FakeTime) -> None:
    opened(breaker, clock)
    breaker.settle(breaker.admit(), succeeded=None)
    assert breaker.state == "half_open"
    breaker.admit()
    with pytest.raises(CircuitOpen):
        breaker.admit()


def test_what_began_before_the_change_is_no_news_after_it(breaker: Breaker, clock: FakeTime) -> None:
    late = [breaker.admit() for _ in range(4)]
    opened(breaker, clock)
    probe = breaker.admit()
    for era, succeeded in zip(late, (True, False, None, True), strict=True):
        breaker.settle(era, succeeded=succeeded)
    assert breaker.state == "half_open"
    with pytest.raises(CircuitOpen):
        breaker.admit()
    breaker.settle(probe, succeeded=True)
    assert breaker.state == "half_open"


async def test_over_http_of_50_parallel_calls_exactly_one_probes(other: Other, connect: Connect) -> None:
    client = connect(attempts=1, failures=3, successes=1, recovery=0.2)
    other.statuses = [500]
    for _ in range(3):
        with pytest.raises(CallFailed):
            await client.get("/")
    other.statuses, other.delay = [200], 0.2
    await asyncio.sleep(0.25)
    asked = len(other.asked)
    answers = await asyncio.gather(*(client.get("/") for _ in range(50)), return_exceptions=True)
    assert len(other.asked) - asked == 1
    assert sum(isinstance(answer, CircuitOpen) for answer in answers) == 49
    assert client.guard.breaker.state == "closed"
    assert (await client.get("/")).status_code == 200


async def test_a_call_that_is_given_up_while_it_probes_leaves_no_breaker_stuck(other: Other, connect: Connect) -> None:
    client = connect(attempts=1, failures=1, successes=1, recovery=0.05)
    other.statuses = [500, 200]
    with pytest.raises(CallFailed):
        await client.get("/")
    await asyncio.sleep(0.06)
    other.delay = 0.5
    probe = asyncio.create_task(client.get("/"))
    await asyncio.sleep(0.1)
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    other.delay = 0
    assert (await client.get("/")).status_code == 200


async def test_wrong_requests_and_a_busy_service_open_nothing(other: Other, connect: Connect) -> None:
    client = connect(attempts=1, failures=1)
    for status in (400, 404, 409, 422):
        other.statuses = [status]
        assert (await client.get("/")).status_code == status
    other.statuses = [429]
    with pytest.raises(CallFailed):
        await client.get("/")
    assert client.guard.breaker.state == "closed"
