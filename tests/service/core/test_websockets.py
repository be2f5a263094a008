"""WebSockets of a feature, by a real client on a real server: checks, errors, records and events."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from fastapi import Depends, WebSocket, WebSocketException
from fastapi.requests import HTTPConnection
from sqlalchemy import text
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from app.core import telemetry
from app.core.component import Component
from app.core.database import DatabaseDep
from app.core.errors import PROBLEM, NotFound, PermissionDenied, ServiceUnavailable
from app.core.telemetry import SecurityEvent, listening
from app.core.versioning import versioned
from tests.conftest import Listen, Serve
from tests.core.conftest import Lines
from tests.core.sockets import serving

router = versioned("sockets")
Call = Callable[..., Awaitable[Any]]
PATH = "/api/v1/sockets"
ERRORS: dict[str, Exception] = {
    "denied": PermissionDenied("not you"),
    "missing": NotFound(),
    "away": ServiceUnavailable(),
    "broken": RuntimeError("broken"),
    "own": WebSocketException(4001, "mine"),
}


@router.websocket("/echo")
async def echo(websocket: WebSocket, database: DatabaseDep) -> None:
    """Answers each message, and ends as the tutorial's does: by an error where the client leaves."""
    async with database.read() as connection:
        one = (await connection.execute(text("select 1"))).scalar_one()
    await websocket.accept(headers=[(b"x-one", str(one).encode())])
    while True:
        await websocket.send_text(await websocket.receive_text())


@router.websocket("/fail/{when}/{how}")
async def fail(websocket: WebSocket, when: str, how: str) -> None:
    """Fails before or after it accepts."""
    if when == "late":
        await websocket.accept()
    raise ERRORS[how]


@router.websocket("/end/{how}")
async def end(websocket: WebSocket, how: str) -> None:
    """Ends without a word, or with a code."""
    if how != "silent":
        await websocket.accept()
    if how == "code":
        await websocket.close(4002, "bye")
    elif how == "never":
        await asyncio.sleep(60)


@router.websocket("/slow")
async def slow() -> None:
    """Takes too long to accept."""
    await asyncio.sleep(60)


async def guarded(connection: HTTPConnection) -> None:
    """Admits whoever knows the word."""
    if connection.headers.get("x-word") != "please":
        raise PermissionDenied(headers={"X-Hint": "a word"})


@router.websocket("/guarded", dependencies=[Depends(guarded)])
async def behind_a_guard(websocket: WebSocket, number: int) -> None:
    """Says a number to whoever may hear it."""
    await websocket.accept()
    await websocket.send_json(number)


COMPONENT = Component(name="sockets", routers=[router])


async def refused(url: str, **options: Any) -> tuple[int, Any]:
    """Return the status and the response of a handshake that is refused."""
    with pytest.raises(InvalidStatus) as raised:
        async with connect(url, **options):
            pass
    answer = raised.value.response
    assert answer.headers["content-type"] == PROBLEM
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-correlation-id"].encode() in bytes(answer.body or b"")
    return answer.status_code, answer


async def closed(url: str) -> Close:
    """Return how the server closes."""
    async with connect(url) as socket:
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
        assert socket.protocol.close_rcvd
        return socket.protocol.close_rcvd


async def test_a_route_echoes_with_its_ids_and_leaves_one_record(serve: Serve, log_lines: Lines) -> None:
    app = await serve(extra=[COMPONENT], log={"format": "json"})
    async with serving(app) as url:
        log_lines()
        given = {"X-Correlation-ID": "of-the-caller", "User-Agent": "tester"}
        async with connect(f"{url}{PATH}/echo?token=hidden", additional_headers=given) as socket:
            assert socket.response
            assert socket.response.headers["x-correlation-id"] == "of-the-caller"
            assert socket.response.headers["x-one"] == "1"
            for message in ("one", "zwölf"):
                await socket.send(message)
                assert await socket.recv() == message
    (record,) = log_lines()
    assert (record["event"], record["logger"], record["level"]) == ("websocket", "access", "info")
    assert (record["route"], record["path"]) == (f"{PATH}/echo", f"{PATH}/echo")
    assert (record["close_code"], record["messages_received"], record["messages_sent"]) == (1000, 2, 2)
    assert (record["received"], record["sent"]) == (9, 9)
    assert (record["correlation_id"], record["client"]) == ("of-the-caller", "127.0.0.1")
    assert 0 < record["duration"] < 5


async def test_the_fixture_listens_with_the_settings_of_the_test(listen: Listen) -> None:
    url = await listen(extra=[COMPONENT], websockets={"message_limit": 3})
    async with connect(f"{url}{PATH}/echo") as socket:
        await socket.send("one")
        assert await socket.recv() == "one"
        await socket.send("four")
        await socket.wait_closed()
    assert socket.close_code == 1009


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("denied", 403, 1008), ("missing", 404, 1008), ("away", 503, 1013), ("broken", 500, 1011)],
)
async def test_an_error_has_its_status_before_and_its_code_after_the_handshake(
    serve: Serve, log_lines: Lines, how: str, status: int, code: int
) -> None:
    async with serving(await serve(extra=[COMPONENT], log={"format": "json"})) as url:
        log_lines()
        assert (await refused(f"{url}{PATH}/fail/early/{how}"))[0] == status
        close = await closed(f"{url}{PATH}/fail/late/{how}")
    assert close.code == code
    found = log_lines()
    records = [line for line in found if line["logger"] == "access"]
    assert [line.get("status", line.get("close_code")) for line in records] == [status, code]
    assert {line["code"] for line in records} == {close.reason}
    assert "uvicorn.websockets" not in {line["logger"] for line in found}
    assert sum("exception" in line for line in found) == (2 if how == "broken" else 0)


async def test_a_route_closes_with_its_own_code(serve: Serve) -> None:
    async with serving(await serve(extra=[COMPONENT])) as url:
        assert (await closed(f"{url}{PATH}/fail/late/own")) == Close(4001, "mine")
        assert (await closed(f"{url}{PATH}/end/code")) == Close(4002, "bye")
        assert (await closed(f"{url}{PATH}/end/accepted")).code == 1000
        assert (await refused(f"{url}{PATH}/fail/early/own"))[0] == 403
        assert (await refused(f"{url}{PATH}/end/silent"))[0] == 500


async def test_values_and_guards_refuse_before_the_handshake(serve: Serve) -> None:
    async with serving(await serve(extra=[COMPONENT])) as url:
        assert (await refused(f"{url}{PATH}/nowhere"))[0] == 404
        status, answer = await refused(f"{url}{PATH}/guarded?number=1")
        assert (status, answer.headers["x-hint"]) == (403, "a word")
        asked: dict[str, Any] = {"additional_headers": {"X-Word": "please"}}
        status, answer = await refused(f"{url}{PATH}/guarded?number=secret", **asked)
        assert status == 422
        assert b'"query.number"' in answer.body
        assert b"secret" not in answer.body
        async with connect(f"{url}{PATH}/guarded?number=7", **asked) as socket:
            assert await socket.recv() == "7"


async def test_only_known_origins_and_hosts_may_connect(serve: Serve) -> None:
    http = {"cors_origins": "https://shop.example", "trusted_hosts": "127.0.0.1,api.example"}
    async with serving(await serve(extra=[COMPONENT], http=http)) as url:
        address = f"{url}{PATH}/echo"
        here = url.replace("ws://", "http://")
        for origin in (None, here, "https://shop.example"):
            async with connect(address, origin=origin):  # type: ignore[arg-type]  # a NewType of str
                pass
        for wrong in ("https://evil.example", "null", here.replace("http", "ftp"), f"{here}.evil.example"):
            events: list[SecurityEvent] = []
            with listening(SecurityEvent, events.append):
                status, _ = await refused(address, origin=wrong)
            assert status == 403, wrong
            assert events == [SecurityEvent("permission_denied", reason=f"the origin {wrong}")]
        port = int(url.rpartition(":")[2])
        status, _ = await refused(address.replace("127.0.0.1", "other.example"), host="127.0.0.1", port=port)
        assert status == 400
        behind_tls = address.replace(f"127.0.0.1:{port}", "api.example")
        async with connect(behind_tls, origin="https://api.example", host="127.0.0.1", port=port):  # type: ignore[arg-type]
            pass


async def test_a_socket_too_many_is_503_and_a_slow_handshake_too(serve: Serve) -> None:
    app = await serve(extra=[COMPONENT], websockets={"connections": 1}, http={"request_timeout": 0.2})
    async with serving(app) as url, connect(f"{url}{PATH}/echo") as socket:
        assert (await refused(f"{url}{PATH}/echo"))[0] == 503
        await socket.send("still here")
        assert await socket.recv() == "still here"
        await socket.close()
        assert (await refused(f"{url}{PATH}/slow"))[0] == 503
        async with connect(f"{url}{PATH}/echo") as socket:
            await asyncio.sleep(0.3)  # an open one has no such limit
            await socket.send("still here")
            assert await socket.recv() == "still here"


async def test_a_handshake_is_a_request_and_a_close_an_event_of_its_own(serve: Serve) -> None:
    seen: list[Any] = []
    events = (telemetry.RequestStarted, telemetry.RequestFinished, telemetry.WebSocketClosed)
    async with serving(await serve(extra=[COMPONENT])) as url:
        with listening(events[0], seen.append), listening(events[1], seen.append), listening(events[2], seen.append):
            await closed(f"{url}{PATH}/end/code")
            await refused(f"{url}{PATH}/end/silent")
    started, answered, ended, _, refusal = seen
    assert started == telemetry.RequestStarted("GET", f"{PATH}/end/code")
    assert (answered.status, answered.route) == (101, f"{PATH}/end/{{how}}")
    assert (type(ended), ended.code, ended.route) == (telemetry.WebSocketClosed, 4002, f"{PATH}/end/{{how}}")
    assert refusal.status == 500


async def test_middleware_of_components_may_refuse_a_handshake(serve: Serve) -> None:
    class Refuses:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "websocket":
                raise PermissionDenied("not today")
            await self.app(scope, receive, send)

    refusing = Component(name="refusing", routers=[router], middleware=[Middleware(Refuses)])
    async with serving(await serve(extra=[refusing])) as url:
        assert (await refused(f"{url}{PATH}/echo"))[0] == 403
