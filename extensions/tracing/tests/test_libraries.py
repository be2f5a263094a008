"""Statements and calls are spans below their request, and say nothing of what was sent."""

from collections.abc import Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind

from app.extensions.tracing.export import cleaned
from app.extensions.tracing.requests import Sampling
from tests.extensions.tracing.conftest import HIDDEN, Trace
from tests.extensions.tracing.sink import Sink
from tests.extensions.tracing.test_requests import arrived


async def test_a_statement_is_a_span_below_its_request(sink: Sink, trace: Trace) -> None:
    service = await trace()
    assert (await service.get("/working/querying")).json() == {"found": HIDDEN}
    (request,) = await arrived(sink, "GET /working/querying")
    (query,) = [span for span in sink.spans if span.kind == "client"]
    assert query.name.startswith("SELECT")
    assert (query.trace_id, query.parent_id) == (request.trace_id, request.span_id)
    assert query.attributes["db.query.text"].startswith("SELECT ")
    assert HIDDEN.encode() not in sink.raw


async def test_a_statement_that_fails_does_and_keeps_to_itself_what_it_was_about(sink: Sink, trace: Trace) -> None:
    service = await trace()
    assert (await service.get("/working/querying/wrongly")).status_code == 500
    await arrived(sink, "GET /working/querying/wrongly")
    (query,) = [span for span in sink.spans if span.kind == "client"]
    assert (query.failed, query.said) == (True, "")
    assert HIDDEN.encode() not in sink.raw


async def test_a_call_is_a_span_which_the_next_service_gets_as_its_caller(sink: Sink, trace: Trace) -> None:
    service = await trace()
    assert (await service.get("/working/calling")).status_code == 200
    request, call = await arrived(sink, "GET /working/calling", "POST")
    assert (call.kind, call.trace_id, call.parent_id) == ("client", request.trace_id, request.span_id)
    assert call.attributes["url.full"] == f"{sink.endpoint}/other"
    assert sink.caller[:-2] == f"00-{call.trace_id}-{call.span_id}-"
    assert int(sink.caller[-2:], 16) & 1  # recorded
    assert HIDDEN.encode() not in sink.raw


class Kept(SpanExporter):
    """Keeps spans as they would be sent."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        self.spans += [cleaned(span) for span in spans]
        return SpanExportResult.SUCCESS


def recorded(share: float) -> tuple[TracerProvider, Kept]:
    """A provider that samples as the service does, and what it has recorded."""
    provider, kept = TracerProvider(sampler=Sampling(share), shutdown_on_exit=False), Kept()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    return provider, kept


def test_a_span_of_ones_own_keeps_the_error_and_not_its_message() -> None:
    provider, kept = recorded(1)
    tracer = provider.get_tracer("shop")
    attributes: dict[str, str | int] = {"password": HIDDEN, "many": 7}
    with pytest.raises(ValueError, match=HIDDEN), tracer.start_as_current_span("count", attributes=attributes):
        int(HIDDEN)
    (span,) = kept.spans
    assert dict(span.attributes or {}) == {"password": "[redacted]", "many": 7}
    (event,) = span.events
    assert (event.attributes or {})["exception.type"] == "ValueError"
    assert HIDDEN not in span.to_json()


def test_outside_of_requests_a_share_is_recorded_and_no_statement_or_call_by_itself() -> None:
    for share, names in ((0, []), (1, ["inner", "job"])):
        provider, kept = recorded(share)
        tracer = provider.get_tracer("shop")
        tracer.start_span("SELECT", kind=SpanKind.CLIENT).end()
        with tracer.start_as_current_span("job"):
            tracer.start_span("connect", kind=SpanKind.CLIENT).end()
            tracer.start_span("inner", kind=SpanKind.CLIENT).end()
        assert [span.name for span in kept.spans] == names
