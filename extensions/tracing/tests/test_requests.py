"""The span of a request: its name, its ids, what it says, and which requests have one."""

import asyncio
import random

import pytest

from tests.conftest import Start
from tests.extensions.tracing.conftest import HIDDEN, Trace
from tests.extensions.tracing.sink import Sink, Span, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
PROBES = ["/health/live", "/health/ready", "/health/startup", "/health"]


async def arrived(sink: Sink, *names: str) -> list[Span]:
    """Spans by their names, without keeping the service from serving."""
    return await asyncio.to_thread(sink.wait, *names)


async def test_a_request_is_a_span_of_the_caller_in_the_trace_of_the_log(
    sink: Sink, trace: Trace, capsys: pytest.CaptureFixture[str]
) -> None:
    service = await trace()
    headers = {"X-Correlation-ID": "asked-by-ada", "traceparent": f"00-{TRACE}-{CALLER}-01", "User-Agent": "ada/1"}
    answer = await service.get("/working/plain/7?q=1", headers=headers)
    assert answer.json()["traceparent"].startswith(f"00-{TRACE}-")
    (span,) = await arrived(sink, "GET /working/plain/{number}")
    assert (span.kind, span.trace_id, span.parent_id, span.failed) == ("server", TRACE, CALLER, False)
    assert answer.json()["traceparent"] == f"00-{TRACE}-{span.span_id}-01"
    assert span.attributes == {
        "http.request.method": "GET",
        "url.path": "/working/plain/7",
        "http.route": "/working/plain/{number}",
        "http.response.status_code": 200,
        "http.request.body.size": 0,
        "http.response.body.size": len(answer.content),
        "correlation_id": "asked-by-ada",
        "enduser.id": "ada",
        "user_agent.original": "ada/1",
    }
    assert f"trace_id={TRACE}" in capsys.readouterr().out.replace(" ", "")
    assert sink.received["path"] == "/v1/traces"


async def test_a_request_without_a_caller_begins_the_trace_that_its_answer_names(sink: Sink, trace: Trace) -> None:
    service = await trace()
    answer = await service.get("/working/plain/7")
    (span,) = await arrived(sink, "GET /working/plain/{number}")
    assert span.parent_id == ""
    assert span.trace_id == answer.headers["x-correlation-id"]


async def test_a_span_says_which_service_it_is_of(sink: Sink, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=counter")
    settings = {"endpoint": f"{sink.endpoint}/", "flush_interval": 0.05, "headers": "X-Key=abc=, Tenant=shop"}
    service = await start(tracing=settings, service={"name": "shop", "version": "1.2.3"})
    await service.get("/nowhere")
    (span,) = await arrived(sink, "GET")
    assert span.resource["service.name"] == "shop"
    assert (span.resource["service.version"], span.resource["team"]) == ("1.2.3", "counter")
    assert span.resource["deployment.environment.name"] == "test"
    assert (sink.received["x-key"], sink.received["tenant"]) == ("abc=", "shop")
    assert "http.route" not in span.attributes


async def test_a_failure_names_its_error_and_nothing_of_what_was_sent(sink: Sink, trace: Trace) -> None:
    service = await trace()
    assert (await service.get("/working/failing")).status_code == 500
    assert (await service.get("/working/plain/word")).status_code == 422
    failure, refusal = await arrived(sink, "GET /working/failing", "GET /working/plain/{number}")
    assert (failure.failed, failure.attributes["error.type"]) == (True, "RuntimeError")
    assert (refusal.failed, refusal.attributes["http.response.status_code"]) == (False, 422)
    assert HIDDEN.encode() not in sink.raw


async def test_a_method_of_the_callers_invention_has_no_name_of_its_own(sink: Sink, trace: Trace) -> None:
    service = await trace()
    await service.request("BREW", "/working/failing")
    (span,) = await arrived(sink, "HTTP /working/failing")
    assert span.attributes["http.request.method"] == "BREW"


async def test_probes_and_what_happens_in_them_are_no_spans(sink: Sink, trace: Trace) -> None:
    service = await trace()
    for path in [*PROBES, "/metrics"]:
        await service.get(path, headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    await service.get("/working/plain/7")
    await arrived(sink, "GET /working/plain/{number}")
    assert len(sink.spans) == 1


async def test_a_share_is_recorded_and_of_the_others_nothing(
    sink: Sink, trace: Trace, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = iter([0.7, 0.2, 0.25])
    service = await trace(sample_rate=0.25)
    monkeypatch.setattr(random, "random", lambda: next(drawn, 0.9))
    sent = [(await service.get("/working/plain/7")).json()["traceparent"][-2:] for _ in range(3)]
    assert [int(flags, 16) & 1 for flags in sent] == [0, 1, 0]
    assert [(await service.get("/working/querying")).status_code for _ in range(3)] == [200] * 3
    await service.get("/working/failing", headers={"traceparent": f"00-{TRACE}-{CALLER}-01"})
    await arrived(sink, "GET /working/failing")
    assert [span.name for span in sink.spans] == ["GET /working/plain/{number}", "GET /working/failing"]


async def test_what_the_caller_does_not_record_is_not_recorded_here(sink: Sink, trace: Trace) -> None:
    service = await trace()
    answer = await service.get("/working/plain/7", headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    assert answer.json()["traceparent"].endswith("-00")
    await service.get("/working/querying")
    await arrived(sink, "GET /working/querying")
    assert len(sink.spans) == 2  # it and its statement


@pytest.mark.parametrize(("share", "spans"), [(0.0, 0), (1.0, 2)])
async def test_callers_who_are_not_trusted_decide_nothing(sink: Sink, trace: Trace, share: float, spans: int) -> None:
    service = await trace(sample_rate=share, trusted_callers="10.0.0.0/8,::1")
    for flags, path in (("01", "plain/7"), ("00", "plain/8")):
        answer = await service.get(f"/working/{path}", headers={"traceparent": f"00-{TRACE}-{CALLER}-{flags}"})
        assert answer.json()["traceparent"].startswith(f"00-{TRACE}-")
    await asyncio.sleep(0.3)
    assert len(sink.spans) == spans


async def test_requests_side_by_side_keep_their_statements_apart(sink: Sink, trace: Trace) -> None:
    service = await trace()
    traces = [f"{number:032x}" for number in range(1, 21)]

    async def ask(number: str) -> None:
        await service.get("/working/querying", headers={"traceparent": f"00-{number}-{CALLER}-01"})

    await asyncio.gather(*(asyncio.create_task(ask(number)) for number in traces))

    def all_there() -> bool:
        return len([span for span in sink.spans if span.kind == "server"]) == 20

    await asyncio.to_thread(until, all_there)
    for number in traces:
        (server,) = [span for span in sink.spans if span.trace_id == number and span.kind == "server"]
        (query,) = [span for span in sink.spans if span.trace_id == number and span.kind == "client"]
        assert query.parent_id == server.span_id
