"""A service drains, answers the requests that are under way, and then closes."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx2
import pytest

from tests.live.conftest import Make, Run
from tests.live.service import BOUND, ORDERS, Rendered

SLOW = "/api/v1/probe/slow"


@pytest.fixture
def rendering(base: str, probed: Make) -> Rendered:
    """A service with the probe, on each database."""
    return probed(database=base)


def test_it_drains_then_finishes_then_closes_in_reverse(rendering: Rendered, run: Run) -> None:
    service = run(rendering, LIFECYCLE__DRAIN="2")
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(httpx2.get, service.url + SLOW, params={"seconds": 4}, timeout=30)
        time.sleep(0.5)
        service.signal(signal.SIGTERM)
        told = time.monotonic()
        time.sleep(0.3)
        ready = httpx2.get(f"{service.url}/health/ready", timeout=10)
        assert ready.status_code == 503
        assert ready.json()["details"]["status"] == "draining"
        assert ready.headers["connection"] == "close"
        served = 0
        while time.monotonic() - told < 1.5:  # connections that are new are taken all the while
            assert httpx2.get(f"{service.url}{ORDERS}", timeout=10).status_code == 200
            served += 1
        assert served
        assert flying.result().status_code == 200
    assert service.process.wait(timeout=BOUND) == -15
    assert time.monotonic() - told < 10
    events = [line["event"] for line in service.lines() if line["logger"] == "app.features.probe"]
    assert events == ["opened first", "opened second", "closed second", "closed first"]


def test_a_second_signal_ends_the_drain(rendering: Rendered, run: Run) -> None:
    service = run(rendering, LIFECYCLE__DRAIN="60")
    service.signal(signal.SIGTERM)
    service.logged(event="draining for 60.0 seconds before the listener closes")
    started = time.monotonic()
    service.signal(signal.SIGTERM)
    service.process.wait(timeout=BOUND)
    assert time.monotonic() - started < 3


def test_without_a_drain_it_stops_at_once(rendering: Rendered, run: Run) -> None:
    service = run(rendering, SERVICE__ENVIRONMENT="development")
    started = time.monotonic()
    assert service.stop() == -15
    assert time.monotonic() - started < 3


def test_a_request_that_never_ends_does_not_hold_it_up(rendering: Rendered, run: Run) -> None:
    service = run(rendering, LIFECYCLE__DRAIN="0", SERVER__SHUTDOWN_TIMEOUT="1")
    with ThreadPoolExecutor(1) as pool:
        flying = pool.submit(lambda: httpx2.get(service.url + SLOW, params={"seconds": 25}, timeout=60))
        time.sleep(0.5)
        started = time.monotonic()
        service.signal(signal.SIGTERM)
        service.process.wait(timeout=BOUND)
        assert time.monotonic() - started < 5
        with suppress(httpx2.TransportError):
            assert flying.result().status_code >= 500
    assert "closed first" in [line["event"] for line in service.lines()]
