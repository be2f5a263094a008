"""A service as a process reports to a server that takes envelopes, while that is well, down, frozen or lying."""

import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.extensions.sinks import shipped, telling
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, ORDERS, Rendered, Service, order

FAILURE = "/telling/failure"
WARNING = "sentry does not take what it is sent"


@pytest.fixture
def sink() -> Iterator[Any]:
    """The server that receives events."""
    with shipped("sentry").sinking() as made:
        yield made


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service whose owner has added a slice that fails when it is asked to."""
    return telling(rendered, "sentry")


def fail(process: Service, times: int = 1) -> list[str]:
    """The correlation ids of so many failing requests."""
    answers = [process.http.post(FAILURE) for _ in range(times)]
    assert {answer.status_code for answer in answers} == {500}
    return [answer.json()["correlation_id"] for answer in answers]


def test_an_error_arrives_with_the_ids_that_the_log_has(service: Rendered, run: Run, sink: Any) -> None:
    process = run(service, SENTRY__DSN=sink.dsn)
    assert process.http.get("/nowhere").status_code == 404
    (correlation_id,) = fail(process)
    (event,) = sink.wait()
    assert event["tags"]["correlation_id"] == correlation_id
    (line,) = process.logged(event="unexpected error")
    assert (line["correlation_id"], line["trace_id"]) == (correlation_id, event["tags"]["trace_id"])
    assert event["transaction"] == f"POST {FAILURE}"


def test_what_failed_last_is_sent_before_the_process_ends(service: Rendered, run: Run, sink: Any) -> None:
    process = run(service, SENTRY__DSN=sink.dsn, SENTRY__SHUTDOWN_TIMEOUT=str(BOUND), LIFECYCLE__DRAIN="0")
    sink.awake.clear()
    fail(process, 3)
    process.signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.process.poll() is None
    sink.awake.set()
    assert process.process.wait(BOUND) == -signal.SIGTERM
    assert len(sink.of("event")) == 3


@pytest.mark.parametrize("how", ["down", "frozen", "lying"])
def test_whatever_becomes_of_sentry_requests_and_the_stop_do_not_wait(
    service: Rendered, run: Run, sink: Any, how: str
) -> None:
    process = run(service, SENTRY__DSN=sink.dsn, SENTRY__SHUTDOWN_TIMEOUT="0.5", LIFECYCLE__DRAIN="0")
    if how == "down":
        sink.stop()
    elif how == "frozen":
        sink.awake.clear()
    else:
        sink.status, sink.answer = 500, b"\x00" * 100_000
    for number in range(5):
        fail(process, 30)
        assert process.http.post(ORDERS, json=order(f"{how}-{number}")).status_code == 201
    if how != "frozen":  # there the SDK learns of it only after half a minute
        process.logged(level="warning", logger="app.extensions.sentry.reporter")
        assert process.text().count(WARNING) == 1
    started = time.monotonic()
    assert process.stop() == -signal.SIGTERM
    assert time.monotonic() - started < 20


def test_each_of_several_processes_reports(service: Rendered, run: Run, sink: Any) -> None:
    process = run(service, SENTRY__DSN=sink.dsn, SERVER__WORKERS="2")
    ids = fail(process, 4)
    assert {event["tags"]["correlation_id"] for event in sink.wait(count=4)} == set(ids)


def test_a_wrong_dsn_stops_the_start_in_one_line(service: Rendered) -> None:
    done = service.run("app", settings={"SENTRY__DSN": "https://sentry.example.com/1"})
    assert done.returncode == 2
    assert "SENTRY__DSN: " in done.stdout
    assert "has to look like" in done.stdout
    assert "Traceback" not in done.stdout
