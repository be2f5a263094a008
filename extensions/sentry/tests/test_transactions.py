"""The times of requests, where a share of them is asked for."""

import random

import pytest

from app.core.component import Component
from app.core.telemetry import QueryFinished, emit
from tests.conftest import Start
from tests.extensions.sentry.sink import Sink
from tests.extensions.sentry.test_reports import IDS, TRACE, sent

PROBES = ["/health/live", "/health/ready", "/health/startup", "/health"]


async def test_a_request_is_sent_with_its_route_its_ids_and_what_it_waited_for(
    sink: Sink, failing: Component, start: Start
) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "traces_sample_rate": 1})
    for path in PROBES:
        await service.get(path)
    assert (await service.get("/failing/querying/now", headers=IDS)).status_code == 200
    (found,) = await sent(sink, "transaction")
    trace = found["contexts"]["trace"]
    assert (found["transaction"], trace["op"]) == ("GET /failing/querying/now", "http.server")
    assert (trace["trace_id"], trace["parent_span_id"]) == (TRACE, "b7ad6b7169203331")
    assert trace["data"]["http.response.status_code"] == 200
    assert found["tags"]["correlation_id"] == "asked-by-ada"
    (query,) = found["spans"]
    assert (query["op"], query["description"], query["trace_id"]) == ("db.query", "SELECT 1", TRACE)
    assert query["parent_span_id"] == trace["span_id"]


async def test_an_error_names_the_transaction_that_it_is_of(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "traces_sample_rate": 1})
    await service.get("/failing/7")
    (event,), (transaction,) = await sent(sink), await sent(sink, "transaction")
    assert event["contexts"]["trace"]["span_id"] == transaction["contexts"]["trace"]["span_id"]
    assert transaction["contexts"]["trace"]["status"] == "internal_error"


async def test_calls_and_reads_of_caches_are_parts_of_it(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "traces_sample_rate": 1})
    assert (await service.get("/failing/waiting/now")).status_code == 200
    (found,) = await sent(sink, "transaction")
    parts = [(span["op"], span["description"]) for span in found["spans"]]
    assert parts == [("oven.bake", "a plum cake"), ("oven.bake", "a carrot cake")]


async def test_without_a_share_errors_alone_are_sent(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn})
    for _ in range(2):
        await service.get("/failing/7")
    await sent(sink, count=2)  # in the order in which they happened
    assert sink.of("transaction") == []


async def test_what_happens_outside_of_a_request_is_none(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "traces_sample_rate": 1})
    emit(QueryFinished("SELECT", 0.1, "SELECT 2"))
    await service.get("/failing/querying/now")
    (found,) = await sent(sink, "transaction")
    assert [span["description"] for span in found["spans"]] == ["SELECT 1"]


async def test_a_share_of_the_requests_is_sent_with_how_many_it_stands_for(
    sink: Sink, failing: Component, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([0.7, 0.2, 0.25, 0.9])
    monkeypatch.setattr(random, "random", lambda: next(drawn, 0.9))
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "traces_sample_rate": 0.25})
    for number in range(4):
        await service.get("/failing/waiting/now", headers={"X-Correlation-ID": f"request-{number}"})
    (found,) = await sent(sink, "transaction")
    assert found["tags"]["correlation_id"] == "request-1"
    assert b'"sample_rate":"0.25"' in sink.raw
