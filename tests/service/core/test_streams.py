"""Streams and background tasks: they have limits of their own, and a stop ends event streams."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest
from fastapi import BackgroundTasks
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from app.core.component import Component
from app.core.versioning import versioned
from tests.conftest import Serve
from tests.core.conftest import Lines
from tests.core.sockets import server, serving

PATH = "/api/v1/streams"
router = versioned("streams")
DONE: list[str] = []


@router.get("/events", response_class=EventSourceResponse)
async def events(pause: float, tasks: BackgroundTasks) -> AsyncIterator[ServerSentEvent]:
    """Events without end, the first one after a pause."""
    tasks.add_task(DONE.append, "after the events")
    while True:
        await asyncio.sleep(pause)
        yield ServerSentEvent(data="news")


@router.get("/parts")
async def parts(pause: float) -> StreamingResponse:
    """Two parts with a pause between them."""

    async def two() -> AsyncIterator[bytes]:
        yield b"one"
        await asyncio.sleep(pause)
        yield b"two"

    return StreamingResponse(two(), media_type="text/plain")


@router.get("/background")
async def background(seconds: float, tasks: BackgroundTasks) -> None:
    """Answer, and work on."""

    async def work() -> None:
        await asyncio.sleep(seconds)
        DONE.append("work")

    tasks.add_task(work)


COMPONENT = Component(name="streams", routers=[router])


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    DONE.clear()


def client_of(url: str) -> httpx2.AsyncClient:
    """Return a client that accepts gzip, as browsers do."""
    return httpx2.AsyncClient(base_url=url.replace("ws://", "http://") + PATH, timeout=10)


async def test_the_head_of_an_event_stream_does_not_wait_for_an_event(serve: Serve) -> None:
    app = await serve(extra=[COMPONENT])
    async with (
        asyncio.timeout(5),
        serving(app) as url,
        client_of(url) as http,
        http.stream("GET", "/events", params={"pause": 60}) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers


async def test_a_stream_may_be_silent_for_longer_than_a_request_may_take(serve: Serve, log_lines: Lines) -> None:
    limits = {"request_timeout": 0.2, "stream_timeout": 5}
    app = await serve(extra=[COMPONENT], http=limits, log={"format": "json", "slow_request": 0.1})
    async with serving(app) as url, client_of(url) as http:
        log_lines()
        assert (await http.get("/parts", params={"pause": 0.6})).text == "onetwo"
    (record,) = (line for line in log_lines() if line["logger"] == "access")
    assert (record["event"], record["sent"]) == ("request", 6)
    assert record["duration"] > 0.5


async def test_a_stream_that_sends_nothing_for_too_long_is_cut(serve: Serve) -> None:
    app = await serve(extra=[COMPONENT], http={"stream_timeout": 0.3})
    async with serving(app) as url, client_of(url) as http, asyncio.timeout(5):
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get("/parts", params={"pause": 60})
        with pytest.raises(httpx2.RemoteProtocolError):
            await http.get("/events", params={"pause": 60})


async def test_a_background_task_is_cancelled_after_its_limit_with_a_line(serve: Serve, log_lines: Lines) -> None:
    limits = {"request_timeout": 0.2, "background_timeout": 0.6}
    app = await serve(extra=[COMPONENT], http=limits, log={"format": "json"})
    async with serving(app) as url, client_of(url) as http:
        log_lines()
        for seconds in (0.4, 60):
            assert (await http.get("/background", params={"seconds": seconds})).status_code == 200
        assert (await http.get("/background", params={"seconds": 0})).status_code == 200
        await asyncio.sleep(0.5)
        assert DONE == ["work", "work"]
    lines = log_lines()
    assert [line["event"] for line in lines if line["level"] == "warning"] == [
        "cancelled a background task after 0.6 seconds"
    ]
    assert not [line for line in lines if "exception" in line]
    assert max(line["duration"] for line in lines if line["logger"] == "access") < 0.3


async def test_a_stop_ends_event_streams_and_waits_for_what_follows_them(serve: Serve) -> None:
    app = await serve(extra=[COMPONENT])
    async with (
        asyncio.timeout(5),
        server(app) as (running, url),
        client_of(url) as http,
        http.stream("GET", "/events", params={"pause": 0.05}) as answer,
    ):
        received = answer.aiter_lines()
        assert await anext(received) == 'data: "news"'
        stopping = asyncio.create_task(running.shutdown())
        assert {line async for line in received} <= {"", 'data: "news"'}
        await stopping
    assert DONE == ["after the events"]
