"""The export: spans leave without what was sent to the service, and when they cannot, the log says so once a minute."""

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

from app.core.data.outage import Seldom
from app.core.observability.redaction import redact, scrub

logger = logging.getLogger(__name__)

ADDRESSES = frozenset({"url.full", "http.url", "http.target"})
MESSAGES = frozenset({"exception.message", "exception.stacktrace"})


class Export(OTLPSpanExporter):
    """Runs in a thread: requests hand over to a queue of bounded length, and never wait for it."""

    def __init__(self, **options: Any) -> None:
        session = requests.Session()
        session.hooks["response"].append(_refuse_redirects)
        super().__init__(compression=Compression.Gzip, session=session, **options)
        self._due = Seldom()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send some."""
        # Those of requests are made here, and have neither.
        result = super().export([span if span.kind is SpanKind.SERVER else cleaned(span) for span in spans])
        if result is not SpanExportResult.SUCCESS and self._due():
            logger.warning("the collector does not take spans: the service works on, and they are lost")
        return result


def _refuse_redirects(answer: requests.Response, **_: Any) -> None:
    # The exporter follows none and takes each for success: the spans would be lost without a word.
    if 300 <= answer.status_code < 400:
        raise requests.HTTPError(f"the collector answers {answer.status_code}", response=answer)


def cleaned(span: ReadableSpan) -> ReadableSpan:
    """The span without secrets, and without messages of errors: drivers repeat in them what was to be stored."""
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


@lru_cache(1000)  # most are the same in every span: 5 µs saved for each
def _value(name: str, value: Any) -> Any:
    return scrub(str(value).partition("?")[0]) if name in ADDRESSES else redact(value, name)
