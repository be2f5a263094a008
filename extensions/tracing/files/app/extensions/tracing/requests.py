"""Requests: one server span each (https://opentelemetry.io/docs/specs/semconv/http/), and which spans are recorded."""

import random
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Any

from opentelemetry import context as spans
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import Attributes

from app.core import context
from app.core.context import RequestContext
from app.core.telemetry import RequestFailed, RequestFinished, RequestStarted


class Sampling(Sampler):
    """Records the spans of a recorded request, and no statement or call outside a request."""

    def __init__(self, share: float) -> None:
        self.share = share

    def should_sample(  # type: ignore[override]  # as the SDK calls it, with links at the end
        self, parent_context: Context | None, _: int, name: str, kind: SpanKind, attributes: Attributes, *__: object
    ) -> SamplingResult:
        parent = trace.get_current_span(parent_context).get_span_context()
        if parent.is_valid:
            # SQLAlchemy's "connect" is a check-out from the pool: one for each statement.
            wanted = parent.trace_flags.sampled and not (name == "connect" and kind is SpanKind.CLIENT)
        else:
            # Spans of requests come here after the decision.
            wanted = kind is SpanKind.SERVER or (kind is not SpanKind.CLIENT and random.random() < self.share)  # noqa: S311
        return SamplingResult(Decision.RECORD_AND_SAMPLE if wanted else Decision.DROP, attributes)

    def get_description(self) -> str:
        return f"Sampling({self.share})"


class RequestIds(RandomIdGenerator):
    """The ids of traces: those of the log lines."""

    def generate_trace_id(self) -> int:
        """Return the trace id of the current request, or a new one outside a request."""
        request = context.current()
        return int(request.trace_id, 16) if request else super().generate_trace_id()


UNTRACED = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/metrics"})
"""Probes of machines, every few seconds, are left out."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOWHERE = spans.Context()
"""An empty context: an earlier request on the same connection is not a parent."""
SAMPLED = trace.TraceFlags(trace.TraceFlags.SAMPLED)
UNSAMPLED = trace.TraceFlags(trace.TraceFlags.DEFAULT)
new_id = RandomIdGenerator().generate_span_id

_span: ContextVar[trace.Span | None] = ContextVar("span", default=None)
"""The span of the request, which is also the parent of its background tasks."""


class Requests:
    """Listens to requests. Inside a request that is not recorded, nothing is recorded."""

    def __init__(self, tracer: trace.Tracer, share: float, trusted: Sequence[str] = ()) -> None:
        self.tracer = tracer
        self.share = share
        self.trusted = [ip_network(one, strict=False) for one in trusted]
        self.trusts = lru_cache(1000)(self._trusts)
        self.listeners: dict[type[tuple[Any, ...]], Callable[[Any], None]] = {
            RequestStarted: self.started,
            RequestFailed: self.failed,
            RequestFinished: self.finished,
        }

    def started(self, event: RequestStarted) -> None:
        """Begin the span, and make it the parent of later spans."""
        request = context.current()
        if request is None:
            return
        span = self._start(request) if self._wanted(request, event.path) else unrecorded(request)
        _span.set(span)
        spans.attach(trace.set_span_in_context(span, NOWHERE))  # without detaching: each request has its own task

    def failed(self, event: RequestFailed) -> None:
        """Add the type of the error. The log has its traceback, in the same trace."""
        span = _span.get()
        if span is not None and span.is_recording():  # not where a background task fails after the answer
            span.set_attribute("error.type", type(event.error).__qualname__)

    def finished(self, event: RequestFinished) -> None:
        """End the span with its final name and attributes."""
        request, span = context.current(), _span.get()
        if request is None or span is None or not span.is_recording():
            return
        method = event.method if event.method in METHODS else "HTTP"
        matched = event.route != "unmatched"
        span.update_name(f"{method} {event.route}" if matched else method)
        span.set_attributes(
            {
                "http.request.method": event.method,
                "url.path": event.path,
                "http.response.status_code": event.status,
                "http.request.body.size": event.received,
                "http.response.body.size": event.sent,
                "correlation_id": request.correlation_id,
                **({"http.route": event.route} if matched else {}),
                **({"user_agent.original": request.user_agent} if request.user_agent else {}),
                **({"enduser.id": request.principal} if request.principal else {}),
            }
        )
        if event.status >= 500:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        span.end()

    def _wanted(self, request: RequestContext, path: str) -> bool:
        if path in UNTRACED:
            return False
        if request.parent_id and self.trusts(request.client):  # it has decided, and its trace stays complete
            return bool(int(request.trace_flags, 16) & trace.TraceFlags.SAMPLED)
        return random.random() < self.share  # noqa: S311  # no secret

    def _trusts(self, client: str) -> bool:
        try:
            address = ip_address(client)
        except ValueError:
            return False
        return any(address in network for network in self.trusted)

    def _start(self, request: RequestContext) -> trace.Span:
        parent = NOWHERE
        if request.parent_id:
            caller = trace.SpanContext(
                int(request.trace_id, 16), int(request.parent_id, 16), is_remote=True, trace_flags=SAMPLED
            )
            parent = trace.set_span_in_context(trace.NonRecordingSpan(caller), NOWHERE)
        span = self.tracer.start_span(request.method, context=parent, kind=SpanKind.SERVER)
        made = span.get_span_context()
        request.span_id, request.trace_flags = f"{made.span_id:016x}", f"{made.trace_flags:02x}"
        return span


def unrecorded(request: RequestContext) -> trace.Span:
    request.trace_flags = "00"
    own = trace.SpanContext(int(request.trace_id, 16), new_id(), is_remote=False, trace_flags=UNSAMPLED)
    return trace.NonRecordingSpan(own)
