"""Limits of a request: its bytes, and its time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import httpx2
import pytest
from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from starlette.types import Message

from app.core import context
from app.core.component import Component
from app.core.errors import PROBLEM
from tests.conftest import Serve, Start
from tests.core.exchanges import exchange

LIMIT = 100
router = APIRouter(prefix="/limits")


@router.post("/json")
async def read_json(body: list[int]) -> int:
    """Has its body read."""
    return len(body)


@router.post("/bytes")
async def read_bytes(request: Request) -> int:
    """Reads its body itself."""
    return len(await request.body())


@router.post("/more")
async def read_more(request: Request) -> int:
    """Takes ten times as much."""
    current = context.current()
    assert current
    current.body_limit = 10 * LIMIT
    return len(await request.body())


@router.post("/longer")
async def read_for_longer(request: Request) -> int:
    """Takes a body that takes its time."""
    current = context.current()
    assert current
    current.body_seconds = 30
    return len(await request.body())


@router.get("/wait/{seconds}")
async def wait(seconds: float) -> None:
    """Takes its time."""
    await anyio.sleep(seconds)


@router.get("/nothing")
async def nothing() -> None:
    """Answers at once."""


@router.get("/stream")
async def stream() -> StreamingResponse:
    """Lasts longer than a request may, and is never silent for so long."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(8):
            await anyio.sleep(0.05)
            yield b"."

    return StreamingResponse(parts())


COMPONENT = Component(name="limits", routers=[router])
SETTINGS = {"body_limit": LIMIT, "receive_timeout": 0.1, "request_timeout": 0.3, "cors_origins": "https://shop.example"}


@pytest.fixture
async def client(start: Start) -> httpx2.AsyncClient:
    return await start(extra=[COMPONENT], http=SETTINGS)


def slowly(*parts: bytes, pause: float = 0.0) -> Callable[[], Awaitable[Message]]:
    """A body in parts; what is asked for beyond them is an error of the service."""
    rest = list(parts)

    async def receive() -> Message:
        await anyio.sleep(pause)
        assert rest, "the service read on"
        part = rest.pop(0)
        return {"type": "http.request", "body": part, "more_body": True}

    return receive


async def test_a_body_within_the_limit_is_read(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/limits/bytes", content=b"x" * LIMIT)).json() == LIMIT


@pytest.mark.parametrize("path", ["/limits/json", "/limits/bytes"])
async def test_a_body_that_says_it_is_too_large_is_refused_unread(serve: Serve, path: str) -> None:
    app = await serve(extra=[COMPONENT], http=SETTINGS)
    answer = await exchange(
        app,
        path,
        method="POST",
        headers=[(b"content-length", b"101"), (b"origin", b"https://shop.example")],
        receive=slowly(),
    )
    assert (answer.status, answer.headers[b"content-type"]) == (413, PROBLEM.encode())
    assert b"body_too_large" in answer.body
    assert answer.headers[b"access-control-allow-origin"] == b"https://shop.example"
    assert b"x-correlation-id" in answer.headers
    assert b"strict-transport-security" in answer.headers


@pytest.mark.parametrize("path", ["/limits/json", "/limits/bytes"])
@pytest.mark.parametrize("length", [[], [(b"content-length", b"5")]])
async def test_a_body_that_turns_out_too_large_is_refused_at_once(
    serve: Serve, path: str, length: list[tuple[bytes, bytes]]
) -> None:
    app = await serve(extra=[COMPONENT], http=SETTINGS)
    receive = slowly(b"x" * LIMIT, b"x")
    answer = await exchange(app, path, method="POST", headers=length, receive=receive)
    assert (answer.status, b"body_too_large" in answer.body) == (413, True)
    assert len(answer.messages) == 2


async def test_a_route_may_take_more(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/limits/more", content=b"x" * 10 * LIMIT)).json() == 10 * LIMIT
    assert (await client.post("/limits/more", content=b"x" * (10 * LIMIT + 1))).status_code == 413


@pytest.mark.parametrize("path", ["/limits/json", "/limits/bytes"])
async def test_a_body_that_comes_too_slowly_is_408(serve: Serve, path: str) -> None:
    app = await serve(extra=[COMPONENT], http=SETTINGS | {"request_timeout": 10})  # the other clock stays out of it
    with anyio.fail_after(5):
        answer = await exchange(app, path, method="POST", receive=slowly(*[b"x"] * 50, pause=0.03))
    assert (answer.status, b"request_timed_out" in answer.body) == (408, True)


async def test_a_route_may_take_a_body_for_longer_while_it_moves(client: httpx2.AsyncClient) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(12):
            await anyio.sleep(0.05)
            yield b"x"

    assert (await client.post("/limits/longer", content=body())).json() == 12


async def test_a_body_that_stands_still_is_given_up(serve: Serve) -> None:
    app = await serve(extra=[COMPONENT], http=SETTINGS)
    with anyio.fail_after(5):
        answer = await exchange(app, "/limits/longer", method="POST", receive=slowly(b"x", pause=20))
    assert answer.status == 503


async def test_a_request_that_takes_too_long_is_given_up(client: httpx2.AsyncClient) -> None:
    with anyio.fail_after(5):
        answer = await client.get("/limits/wait/60")
    assert (answer.status_code, answer.json()["code"]) == (503, "service_unavailable")
    assert answer.headers["retry-after"] == "1"
    assert (await client.get("/limits/wait/0")).status_code == 200


async def test_a_stream_may_last_while_it_moves(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/limits/stream")).content == b"........"


async def test_one_timer_watches_all_requests(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    app = await serve(extra=[COMPONENT])
    loop = asyncio.get_running_loop()
    made: list[float] = []
    arm = loop.call_at

    def counted(when: float, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        made.append(when)
        return arm(when, *arguments, **more)

    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(50):
        assert (await exchange(app, "/limits/nothing")).status == 200
    assert len(made) < 10  # it looks once a second
