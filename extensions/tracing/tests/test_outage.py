"""The collector is down, slow or lies: requests do not notice, and a stop waits no longer than it is told."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx2
import pytest
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanKind

from app.core import database
from app.core.observability import throttle
from app.core.settings import ServiceSettings, Settings
from app.extensions import tracing
from app.extensions.tracing import export, recorder
from app.extensions.tracing.settings import TracingSettings
from app.main import create_app
from tests.conftest import Opened
from tests.extensions.tracing.conftest import Trace, working
from tests.extensions.tracing.sink import Sink, until

Configure = Callable[..., Settings]
WARNING = "the collector does not take spans"


async def ask(service: httpx2.AsyncClient, times: int) -> None:
    """Requests that are answered as ever."""
    for _ in range(times):
        assert (await service.get("/working/plain/7")).status_code == 200


async def stopped_after(sink: Sink, configured: Configure, requests: int, **settings: object) -> None:
    """Start the service, ask it, and stop it."""
    made = configured(tracing={"endpoint": sink.endpoint, **settings})
    app = create_app([database.component(made), tracing.component(made), working(sink)], made)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(Opened(app))
        transport = httpx2.ASGITransport(serving)
        service = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://service"))
        await ask(service, requests)


async def test_what_is_not_sent_yet_is_sent_before_a_stop(sink: Sink, configured: Configure) -> None:
    await stopped_after(sink, configured, 5, flush_interval=1000, shutdown_timeout=30)
    assert len(sink.spans) == 5


async def test_a_frozen_collector_keeps_nobody_waiting_and_a_stop_as_long_as_it_is_told(
    sink: Sink, configured: Configure
) -> None:
    sink.awake.clear()
    started = time.monotonic()
    await stopped_after(sink, configured, 50, flush_interval=0.05, shutdown_timeout=0.2, timeout=1000)
    assert time.monotonic() - started < 25  # the SDK alone waits 30 s
    assert sink.spans == []


def test_a_bounded_number_of_spans_waits(sink: Sink, configured: Configure) -> None:
    sink.awake.clear()
    made = configured(tracing={"endpoint": sink.endpoint, "flush_interval": 1000})
    provider = recorder.make_provider(made.of(TracingSettings), made.of(ServiceSettings))
    tracer = provider.get_tracer("test")
    for _ in range(recorder.WAITING + 2000):
        tracer.start_span("GET", kind=SpanKind.SERVER).end()
    waiting = provider._active_span_processor._span_processors[0]._batch_processor._queue  # type: ignore[attr-defined]
    assert 1000 < len(waiting) <= recorder.WAITING
    waiting.clear()
    sink.awake.set()
    provider.shutdown()


async def test_a_collector_that_is_down_costs_one_warning(
    sink: Sink, trace: Trace, caplog: pytest.LogCaptureFixture
) -> None:
    sink.stop()
    service = await trace(timeout=0.2)
    await ask(service, 3)
    await asyncio.to_thread(until, lambda: WARNING in caplog.text)
    await ask(service, 3)
    ours = ("app.extensions.tracing", "opentelemetry", "requests", "urllib3")
    loud = [record for record in caplog.records if record.levelno >= logging.WARNING and record.name.startswith(ours)]
    assert [record.name for record in loud] == ["app.extensions.tracing.export"]


@pytest.mark.parametrize("status", [204, 302, 400, 429, 500, 503])
async def test_whatever_the_collector_answers_requests_go_on(
    sink: Sink, trace: Trace, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    sink.status, sink.answer = status, b"\x00 no protobuf" * 1000 if status != 204 else b""
    sink.headers = {"Retry-After": "soon"}
    service = await trace(timeout=0.3)
    await ask(service, 3)
    await asyncio.to_thread(until, lambda: sink.asked)
    if status != 204:
        await asyncio.to_thread(until, lambda: WARNING in caplog.text)
    await ask(service, 3)


def test_it_is_warned_of_once_a_minute(
    sink: Sink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = 100.0
    monkeypatch.setattr(throttle, "monotonic", lambda: now)
    sink.stop()
    sending = export.Export(endpoint=f"{sink.endpoint}/v1/traces", timeout=0.05)
    for _ in range(3):
        assert sending.export([]) is SpanExportResult.FAILURE
    assert caplog.text.count(WARNING) == 1
    now = 160.0
    sending.export([])
    assert caplog.text.count(WARNING) == 2
