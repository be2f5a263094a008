"""Sentry is down, slow or lies: requests do not notice, and a stop waits no longer than it is told."""

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import AsyncExitStack

import httpx2
import pytest
import sentry_sdk

from app.core.component import Component
from app.core.observability import throttle
from app.core.settings import Settings
from app.extensions import sentry
from app.extensions.sentry.reporter import Delivery
from app.main import create_app
from tests.conftest import Opened, Start
from tests.extensions.sentry.sink import Sink, until

Configure = Callable[..., Settings]
WARNING = "sentry does not take what it is sent"


async def fails(service: httpx2.AsyncClient, times: int = 1) -> None:
    """Requests that fail, each with the answer that it would get anyway."""
    for _ in range(times):
        answer = await service.get("/failing/7")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_what_is_not_sent_yet_is_sent_before_a_stop(
    sink: Sink, failing: Component, configured: Configure
) -> None:
    settings = configured(sentry={"dsn": sink.dsn, "shutdown_timeout": 30})
    app = create_app([sentry.component(settings), failing], settings)
    async with AsyncExitStack() as stack:
        serving = await stack.enter_async_context(Opened(app))
        transport = httpx2.ASGITransport(serving)
        service = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url="http://service"))
        sink.awake.clear()
        await fails(service, 5)
        asyncio.get_running_loop().call_later(0.5, sink.awake.set)
    assert len(sink.of("event")) == 5


async def test_a_frozen_sentry_keeps_nobody_waiting_and_a_stop_as_long_as_it_is_told(
    sink: Sink, failing: Component, configured: Configure
) -> None:
    settings = configured(sentry={"dsn": sink.dsn, "shutdown_timeout": 0.2})
    app = create_app([sentry.component(settings), failing], settings)
    sink.awake.clear()
    async with Opened(app) as serving:
        transport = httpx2.ASGITransport(serving)
        async with httpx2.AsyncClient(transport=transport, base_url="http://service") as service:
            await fails(service, 20)
            await asyncio.to_thread(until, lambda: sink.asked)
            started = time.monotonic()
    assert time.monotonic() - started < 20  # the SDK alone waits 30 s for an answer
    assert sink.items == []
    sink.awake.set()
    # Its thread sends the rest, and would warn in another test if this sink were gone.
    await asyncio.to_thread(until, lambda: not any(one.name.startswith("sentry") for one in threading.enumerate()))
    assert sink.items


async def test_a_sentry_that_is_down_costs_one_warning(
    sink: Sink, failing: Component, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    sink.stop()
    service = await start(extra=[failing], sentry={"dsn": sink.dsn})
    await fails(service, 3)
    await asyncio.to_thread(until, lambda: WARNING in caplog.text)
    await fails(service, 3)
    assert caplog.text.count(WARNING) == 1
    assert "Retrying" not in caplog.text


@pytest.mark.parametrize("status", [204, 302, 400, 413, 429, 500])
async def test_whatever_sentry_answers_requests_go_on(
    sink: Sink, failing: Component, start: Start, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    sink.status, sink.answer = status, b"\x00 no JSON" * 1000
    sink.headers = {"Retry-After": "soon", "X-Sentry-Rate-Limits": "nonsense", "Location": sink.dsn}
    service = await start(extra=[failing], sentry={"dsn": sink.dsn, "shutdown_timeout": 0.1})
    await fails(service, 3)
    await asyncio.to_thread(until, lambda: sink.items)
    if status != 204:
        await asyncio.to_thread(until, lambda: WARNING in caplog.text)
    await fails(service)


def test_it_is_warned_of_once_a_minute(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    monkeypatch.setattr(throttle, "monotonic", lambda: now)
    sending = sentry_sdk.Client(dsn="http://key@localhost/1", transport=Delivery).transport
    assert isinstance(sending, Delivery)
    for _ in range(5):
        sending.on_dropped_event("network")
    assert caplog.text.count(WARNING) == 1
    now = 160.0
    sending.on_dropped_event("network")
    assert caplog.text.count(WARNING) == 2
