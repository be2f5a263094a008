"""The export: spans leave without request data, and an outage of the collector is logged once a minute."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import requests
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind, Status
from opentelemetry.util.types import Attributes

from app.core.observability.redaction import redact, scrub
from app.core.observability.throttle import Throttle

logger = logging.getLogger(__name__)

ADDRESSES = frozenset({"url.full", "http.url", "http.target"})
MESSAGES = frozenset({"exception.message", "exception.stacktrace"})


class Export(OTLPSpanExporter):
    """Runs in a thread behind a bounded queue, for which no request waits."""

    def __init__(self, **options: Any) -> None:
        session = requests.Session()
        session.hooks["response"].append(_refuse_redirects)
        super().__init__(compression=Compression.Gzip, session=session, **options)
        self._may_warn = Throttle()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        # Spans of requests are made by this extension, and hold no secrets.
        result = super().export([span if span.kind is SpanKind.SERVER else cleaned(span) for span in spans])
        if result is not SpanExportResult.SUCCESS and self._may_warn():
            logger.warning("the collector does not take spans: they are lost, and the service works")
        return result


def _refuse_redirects(answer: requests.Response, **_: Any) -> None:
    # The exporter follows none, and takes each for success.
    if 300 <= answer.status_code < 400:
        raise requests.HTTPError(f"the collector answers {answer.status_code}", response=answer)


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """Return the span without secrets and without messages of errors, in which drivers repeat values."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_cleaned(span.attributes),
        events=[Event(event.name, _cleaned(event.attributes), event.timestamp) for event in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _cleaned(attributes: Attributes) -> dict[str, Any]:
    return {name: _value(name, value) for name, value in (attributes or {}).items() if name not in MESSAGES}


@lru_cache(1000)  # most are the same in every span: saves 5 µs each
def _value(name: str, value: Any) -> Any:
    return scrub(str(value).partition("?")[0]) if name in ADDRESSES else redact(value, name)
