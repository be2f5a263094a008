"""Requests: one server span for each, from what the core tells (https://opentelemetry.io/docs/specs/semconv/http/)."""

import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from opentelemetry import context as spans
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from app.core import context
from app.core.context import RequestContext
from app.core.telemetry import RequestFailed, RequestFinished, RequestStarted

UNTRACED = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/metrics"})
"""What machines ask every few seconds would drown what people ask."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NOWHERE = spans.Context()
"""So that nothing of a request before it on the same connection is a parent."""
SAMPLED = TraceFlags(TraceFlags.SAMPLED)
UNSAMPLED = TraceFlags(TraceFlags.DEFAULT)
new_id = RandomIdGenerator().generate_span_id


_span: ContextVar[Span | None] = ContextVar("span", default=None)
"""The span of the request. It stays the parent of what its background tasks do."""


class Requests:
    """Listens to requests. One that is not recorded keeps what happens in it from being recorded too."""

    def __init__(self, tracer: Tracer, share: float) -> None:
        self.tracer = tracer
        self.share = share
        self.listeners: dict[type[tuple[Any, ...]], Callable[[Any], None]] = {
            RequestStarted: self.started,
            RequestFailed: self.failed,
            RequestFinished: self.finished,
        }

    def started(self, event: RequestStarted) -> None:
        """Begin the span, and make it the parent of what follows."""
        request = context.current()
        if request is None:
            return
        span = self._start(request) if self._wanted(request, event.path) else unrecorded(request)
        _span.set(span)
        spans.attach(set_span_in_context(span, NOWHERE))  # for good: each request is served in a task of its own

    def failed(self, event: RequestFailed) -> None:
        """Name the error. The log has its traceback, in the same trace."""
        span = _span.get()
        if span is not None and span.is_recording():  # not where a background task fails after the answer
            span.set_attribute("error.type", type(event.error).__qualname__)

    def finished(self, event: RequestFinished) -> None:
        """End the span, with what is known only now."""
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
                **({"enduser.id": request.principal} if request.principal else {}),
            }
        )
        if event.status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _wanted(self, request: RequestContext, path: str) -> bool:
        if path in UNTRACED:
            return False
        if request.parent_id:  # the caller has drawn already, and its trace is to be whole
            return bool(int(request.trace_flags, 16) & TraceFlags.SAMPLED)
        return random.random() < self.share  # noqa: S311  # no secret

    def _start(self, request: RequestContext) -> Span:
        parent = NOWHERE
        if request.parent_id:
            caller = SpanContext(
                int(request.trace_id, 16), int(request.parent_id, 16), is_remote=True, trace_flags=SAMPLED
            )
            parent = set_span_in_context(NonRecordingSpan(caller), NOWHERE)
        span = self.tracer.start_span(request.method, context=parent, kind=SpanKind.SERVER)
        made = span.get_span_context()
        request.span_id, request.trace_flags = f"{made.span_id:016x}", f"{made.trace_flags:02x}"
        return span


def unrecorded(request: RequestContext) -> Span:
    """A span that is not recorded, and of which nothing is."""
    request.trace_flags = "00"
    return NonRecordingSpan(SpanContext(int(request.trace_id, 16), new_id(), is_remote=False, trace_flags=UNSAMPLED))
