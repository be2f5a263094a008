"""Services as processes send spans to a collector that is a process too: well, killed, frozen or lying."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.extensions.collector import Collector, collecting
from tests.extensions.valkey import Server, serve
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, ORDERS, Rendered, Service, order

SLICE = Path(__file__).parent / "slices" / "steps.py"
WARNING = "the collector does not take spans"


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service with the sample."""
    return rendered(extensions=["tracing"])


@pytest.fixture
def collector(service: Rendered, tmp_path: Path) -> Iterator[Collector]:
    """The collector that receives spans."""
    with collecting(service, tmp_path) as made:
        yield made


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Server]:
    """A server of the test's own."""
    with serve(tmp_path) as server:
        yield server


def traced(run: Run, service: Rendered, collector: Collector, **settings: str) -> Service:
    """A process that sends spans often."""
    quick = {"TRACING__ENDPOINT": collector.endpoint, "TRACING__FLUSH_INTERVAL": "0.1", "LIFECYCLE__DRAIN": "0"}
    return run(service, **{**quick, **settings})


def stepping(rendered: Make, database: str) -> Rendered:
    """A service whose owner has added a slice that does one thing of each kind."""
    made = rendered(copy=True, extensions=["redis", "tracing", "outbound"], sample=False, database=database)
    slices = made.root / "app" / "features"
    (slices / "steps.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text().replace("    return []", "    return [steps.component()]")
    assert "steps.component()" in listed
    (slices / "__init__.py").write_text(
        listed.replace("from app.core.settings", "from app.features import steps\nfrom app.core.settings")
    )
    return made


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_one_trace_has_every_step_of_a_request_through_two_services(
    rendered: Make, service: Rendered, run: Run, redis: Server, collector: Collector, database: str
) -> None:
    other = traced(run, service, collector, SERVICE__NAME="other")
    first = traced(
        run,
        stepping(rendered, database),
        collector,
        SERVICE__NAME="first",
        REDIS__URL=redis.url,
        OUTBOUND__SERVICES__OTHER__URL=other.url,
    )
    answer = first.http.get("/api/v1/steps/7")
    assert answer.json() == {"status": 200}
    trace = answer.headers["x-correlation-id"]

    def requests() -> list[dict[str, Any]]:
        found = collector.spans(trace_id=trace, kind="server")
        return sorted(found, key=lambda span: str(span["resource"]["service.name"])) if len(found) == 2 else []

    step, listing = collector.until(requests)
    assert (step["name"], step["parent_id"]) == ("GET /api/v1/steps/{number}", "")
    assert listing["name"] == f"GET {ORDERS}"
    spans = {span["span_id"]: span for span in collector.spans(trace_id=trace)}
    call = spans[listing["parent_id"]]
    assert (call["kind"], call["parent_id"]) == ("client", step["span_id"])
    (thinking,) = [span for span in spans.values() if span["name"] == "thinking"]
    assert thinking["parent_id"] == step["span_id"]
    parents = {
        (span["attributes"].get("db.system.name") or span["attributes"].get("db.system")): span["parent_id"]
        for span in collector.spans(trace_id=trace, kind="client")
        if span["resource"]["service.name"] == "first"
    }
    assert parents["redis"] == step["span_id"]
    assert parents["sqlite" if database == "sqlite" else "postgresql"] == thinking["span_id"]
    for process in (first, other):
        assert process.logged(logger="access", trace_id=trace)


def test_what_was_recorded_last_is_sent_before_the_process_ends(
    service: Rendered, run: Run, collector: Collector
) -> None:
    settings = {"TRACING__FLUSH_INTERVAL": "1000", "TRACING__SHUTDOWN_TIMEOUT": str(BOUND)}
    process = traced(run, service, collector, **settings)
    assert process.http.get(ORDERS).status_code == 200
    assert process.stop() == -signal.SIGTERM
    assert collector.until(lambda: collector.spans(name=f"GET {ORDERS}"))


@pytest.mark.parametrize("how", ["killed", "frozen", "lying"])
def test_whatever_becomes_of_the_collector_requests_and_the_stop_do_not_wait(
    service: Rendered, run: Run, tmp_path: Path, how: str
) -> None:
    with collecting(service, tmp_path, 500 if how == "lying" else 200) as collector:
        bounds = {"TRACING__TIMEOUT": "0.5", "TRACING__SHUTDOWN_TIMEOUT": "0.5"}
        process = traced(run, service, collector, **bounds)
        if how != "lying":
            collector.kill() if how == "killed" else collector.freeze()
        for number in range(10):
            assert process.http.post(ORDERS, json=order(f"{how}-{number}")).status_code == 201
            assert {process.http.get(ORDERS).status_code for _ in range(20)} == {200}
        process.logged(level="warning", logger="app.extensions.tracing.export")
        assert process.text().count(WARNING) == 1
        assert [line["logger"] for line in process.troubles()] == ["app.extensions.tracing.export"]
        started = time.monotonic()
        assert process.stop() == -signal.SIGTERM
        assert time.monotonic() - started < 20


def test_a_collector_that_was_frozen_gets_what_comes_after(service: Rendered, run: Run, collector: Collector) -> None:
    process = traced(run, service, collector, TRACING__TIMEOUT="0.5")
    collector.freeze()
    assert process.http.get(ORDERS).status_code == 200
    process.logged(logger="app.extensions.tracing.export")
    collector.thaw()
    answer = process.http.get("/nowhere")
    assert collector.until(lambda: collector.spans(trace_id=answer.headers["x-correlation-id"]))
