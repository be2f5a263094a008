"""Connections: what one may cost the server, and what a client gets that asks for more."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import uvicorn

from app.core.http.security import HttpSettings, headers
from app.core.server import protocol
from app.core.server.protocol import MOST_HEADER_BYTES, MOST_WAITING, BoundedProtocol

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
SLOW = REQUEST.replace(b" / ", b" /slow ")
CHUNKED = b"POST / HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"
READING = CHUNKED.replace(b" / ", b" /read ")
OK = b"HTTP/1.1 200 "
DISCONNECTED: list[str] = []
STARTED: list[str] = []
Open = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with nothing: at once, after a moment, or after the whole body."""
    STARTED.append(scope["path"])
    await asyncio.sleep({"/slow": 0.2, "/slower": 0.8}.get(scope["path"], 0))
    while scope["path"] == "/read":
        message = await receive()
        if message["type"] == "http.disconnect":
            DISCONNECTED.append(scope["path"])
            return
        if not message["more_body"]:
            break
    size = int(scope["query_string"] or 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % size)]})
    await send({"type": "http.response.body", "body": b"x" * size})


@pytest.fixture
async def server() -> AsyncIterator[uvicorn.Server]:
    """A server that listens, and gives headers, an idle and a slow client half a second."""
    STARTED.clear()
    config = uvicorn.Config(
        app, port=0, http=BoundedProtocol, ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    server.lifespan.state["http"] = HttpSettings(header_timeout=0.5, stall_timeout=0.5)
    await server.startup()
    try:
        yield server
    finally:
        for opened in server.servers:
            opened.close()


@pytest.fixture
def connect(server: uvicorn.Server) -> Open:
    """Opens a connection to the server."""
    host, port = server.servers[0].sockets[0].getsockname()
    return lambda: asyncio.open_connection(host, port)


async def sent(connection: Open, *parts: bytes) -> bytes:
    """Send parts one after another, and return all that comes back until the server closes."""
    reader, writer = await connection()
    for part in parts:
        writer.write(part)
        await asyncio.sleep(0.02)
    try:
        return await asyncio.wait_for(reader.read(), 8)
    finally:
        writer.close()


async def test_requests_that_are_sent_ahead_are_all_answered(connect: Open) -> None:
    reader, writer = await connect()
    writer.write(SLOW + REQUEST * MOST_WAITING)
    for _ in range(MOST_WAITING + 1):
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    writer.close()


async def test_a_connection_too_many_is_closed_and_the_others_are_served(connect: Open, server: uvicorn.Server) -> None:
    server.lifespan.state["http"] = HttpSettings(connections=2)
    opened = [await connect() for _ in range(2)]
    reader, refused = await connect()
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 8) == b""
    for reader, writer in opened:
        writer.write(REQUEST)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
        writer.close()
    refused.close()


async def test_malformed_http_behind_waiting_requests_leaves_them_their_answers(connect: Open) -> None:
    answer = await sent(connect, SLOW + REQUEST + CHUNKED + b"zz\r\n")
    assert answer.count(OK) == answer.count(b"HTTP/1.1 ") == 2


async def test_a_request_behind_a_refused_upgrade_is_answered(connect: Open, caplog: pytest.LogCaptureFixture) -> None:
    upgrade = REQUEST.replace(b"test\r\n", b"test\r\nconnection: upgrade\r\nupgrade: websocket\r\n")
    answer = await sent(connect, upgrade + REQUEST.replace(b"test\r\n", b"test\r\nconnection: close\r\n"))
    assert answer.count(OK) == 2
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


async def test_empty_lines_keep_no_idle_connection_open(connect: Open, server: uvicorn.Server) -> None:
    server.config.timeout_keep_alive = 1
    reader, writer = await connect()
    writer.write(REQUEST)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    writer.write(b"\r\n")
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()


@pytest.mark.parametrize("ending", ["keep-alive", "close"])
async def test_a_client_that_leaves_the_end_of_its_answer_is_let_go(server: uvicorn.Server, ending: str) -> None:
    server.config.timeout_keep_alive = 1
    listener = server.servers[0].sockets[0]
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    request = f"GET /?%d HTTP/1.1\r\nhost: test\r\nconnection: {ending}\r\n\r\n"
    with ExitStack() as opened:
        for size in range(10_000, 100_000, 10_000):  # some leave less than the transport waits for
            client = opened.enter_context(socket.socket())
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listener.getsockname())
            client.sendall((request % size).encode())
        await asyncio.sleep(0.3)
        assert server.server_state.connections
        async with asyncio.timeout(8):
            while server.server_state.connections:
                await asyncio.sleep(0.05)


async def test_a_client_that_sends_too_many_ahead_is_cut_and_others_are_served(connect: Open) -> None:
    reader, writer = await connect()
    writer.write(REQUEST * 10_000)
    answers = 0
    with suppress(ConnectionError, asyncio.IncompleteReadError):
        while answers < 10_000:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)
            answers += 1
    assert answers < 1000
    assert len(STARTED) <= MOST_WAITING + 2
    writer.close()
    assert (await sent(connect, REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))).startswith(OK)


@pytest.mark.parametrize("parts", [1, 10], ids=["at once", "in parts"])
async def test_headers_without_end_are_refused(connect: Open, parts: int) -> None:
    header = b"x: " + b"a" * (2 * MOST_HEADER_BYTES // parts) + b"\r\n"
    answer = await sent(connect, REQUEST[:-2], *[header] * parts)
    assert answer.startswith(b"HTTP/1.1 431 ")
    for name, value in headers(HttpSettings()):
        assert b"\r\n%s: %s\r\n" % (name, value) in answer


async def test_a_large_body_is_no_header(connect: Open) -> None:
    body = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    request = READING.replace(b"test\r\n", b"test\r\nconnection: close\r\n")
    answer = await sent(connect, request + body * 4 + b"0\r\n\r\n")
    assert answer.startswith(OK)


async def test_trailers_without_end_are_refused(connect: Open, server: uvicorn.Server) -> None:
    DISCONNECTED.clear()
    answer = await sent(connect, READING + b"1\r\nx\r\n0\r\n", *[b"a: b\r\n" * 3000] * 8)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    while server.server_state.connections or server.server_state.tasks:
        await asyncio.sleep(0.01)
    assert DISCONNECTED == ["/read"]


async def test_trailers_without_end_after_the_answer_end_the_connection(connect: Open) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED + b"1\r\nx\r\n0\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    with pytest.raises(ConnectionError):
        for _ in range(100):
            writer.write(b"a: b\r\n" * 3000)
            await writer.drain()
            await asyncio.sleep(0.001)
    writer.close()


async def test_what_is_refused_leaves_the_request_before_it_its_answer(connect: Open) -> None:
    answer = await sent(connect, SLOW + REQUEST[:-2] + b"x: " + b"a" * 100_000)
    assert answer.startswith(OK)
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_malformed_http_is_answered_once_though_the_application_answers_too(
    connect: Open, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED.replace(b" / ", b" /slow ") + b"zz\r\n")
    answer = await asyncio.wait_for(reader.read(), 8)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    await asyncio.sleep(0.3)
    writer.close()
    assert "Exception in ASGI application" not in caplog.text


async def test_the_time_for_headers_ends_with_them(connect: Open) -> None:
    reader, writer = await connect()
    for _ in range(2):
        writer.write(SLOW.replace(b"/slow", b"/slower"))
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    writer.close()


async def test_malformed_http_after_an_answer_is_answered_too(connect: Open) -> None:
    answer = await sent(connect, CHUNKED, b"1\r\nx\r\n0\r\n\r\n", b"\x00\r\n\r\n")
    assert answer.startswith(OK)
    assert b"HTTP/1.1 400 " in answer


async def test_an_answer_is_not_lost_when_the_client_still_sends_its_body(connect: Open) -> None:
    reader, writer = await connect()
    writer.write(CHUNKED + b"1\r\nx\r\n")
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    writer.write((b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 20 + b"0\r\n\r\n" + REQUEST)  # the connection goes on
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    writer.close()


async def test_a_body_without_end_after_its_answer_ends_the_connection(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LINGER", 0.3)
    reader, writer = await connect()
    writer.write(CHUNKED)
    assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 8)).startswith(OK)
    with pytest.raises(ConnectionError):
        for _ in range(200):
            writer.write(b"1\r\nx\r\n")
            await writer.drain()
            await asyncio.sleep(0.02)
    writer.close()


@pytest.mark.parametrize("before", [b"", REQUEST, CHUNKED + b"0\r\n\r\n"], ids=["first", "second", "after a body"])
async def test_slow_headers_are_let_go(connect: Open, before: bytes) -> None:
    answer = await sent(connect, before, REQUEST[:-2])
    assert answer.count(OK) == (1 if before else 0)
    assert b"HTTP/1.1 408 " in answer


async def test_a_stop_answers_what_is_under_way_and_waits_for_no_idle_connection(
    connect: Open, server: uvicorn.Server
) -> None:
    idle, idle_writer = await connect()
    reader, writer = await connect()
    writer.write(SLOW)
    while not server.server_state.tasks:
        await asyncio.sleep(0)
    await asyncio.wait_for(server.shutdown(), 8)
    assert (await reader.read()).startswith(OK)
    assert await idle.read() == b""
    for one in (writer, idle_writer):
        one.close()


async def test_two_limits_in_one_turn_of_the_loop_are_one_line(
    connect: Open, server: uvicorn.Server, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await connect()
    writer.write(SLOW)
    while not STARTED:
        await asyncio.sleep(0)
    (connection,) = server.server_state.connections
    connection.pause_writing()
    writer.write(SLOW * (MOST_WAITING + 1))
    time.sleep(0.6)  # noqa: ASYNC251  # the requests too many arrive in the turn in which the time to read is over
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 8) == b""
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        f"cut a connection whose client sent more than {MOST_WAITING} requests ahead of their answers"
    ]
    writer.close()
