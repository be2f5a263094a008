"""Connections: many requests on one, headers without end, and a stop that loses nobody."""

import asyncio
import errno
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from app.core.server import protocol, stopping
from app.core.server.protocol import PromptProtocol
from app.core.server.stopping import Server

REQUEST = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
OK = b"HTTP/1.1 200 "


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer with nothing, after a moment where that is asked for."""
    del receive
    if scope["path"] == "/slow":
        await asyncio.sleep(0.2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that listens."""
    config = uvicorn.Config(
        app, port=0, http=PromptProtocol, ws="none", lifespan="off", log_config=None, timeout_graceful_shutdown=30
    )
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    try:
        yield server
    finally:
        for opened in server.servers:
            opened.close()


def address(server: Server) -> tuple[str, int]:
    found: tuple[str, int] = server.servers[0].sockets[0].getsockname()
    return found


async def until(reached: Callable[[], bool]) -> None:
    while not reached():  # noqa: ASYNC110  # uvicorn sets no event
        await asyncio.sleep(0)


async def test_many_requests_at_once_are_all_answered(server: Server) -> None:
    reader, writer = await asyncio.open_connection(*address(server))
    writer.write(REQUEST * 3000)
    for _ in range(3000):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(OK)
    writer.close()


async def test_headers_without_end_are_refused(server: Server) -> None:
    reader, writer = await asyncio.open_connection(*address(server))
    writer.write(REQUEST[:-2] + b"x: " + b"a" * 100_000)
    assert (await reader.read()).startswith(b"HTTP/1.1 431 ")
    writer.close()


async def test_what_is_refused_leaves_the_request_before_it_its_answer(server: Server) -> None:
    reader, writer = await asyncio.open_connection(*address(server))
    writer.write(REQUEST.replace(b" / ", b" /slow ") + REQUEST[:-2] + b"x: " + b"a" * 100_000)
    answer = await reader.read()
    assert answer.startswith(OK)
    assert answer.count(b"HTTP/1.1 ") == 1
    writer.close()


async def test_who_was_let_in_but_not_accepted_is_answered(server: Server) -> None:
    waiting = [socket.create_connection(address(server)) for _ in range(3)]  # the system does this, not the server
    for client in waiting:
        client.sendall(REQUEST)
    await server.shutdown()
    for client in waiting:
        with client:
            client.settimeout(10)
            assert client.recv(4096).startswith(OK)


@pytest.mark.parametrize("before", [0, 1], ids=["new", "used"])
async def test_a_request_on_its_way_while_it_stops_is_the_last_of_its_connection(
    server: Server, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "LAST_CALL", 10)
    reader, writer = await asyncio.open_connection(*address(server))
    for _ in range(before):
        writer.write(REQUEST)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(OK)
    await until(lambda: bool(server.server_state.connections))
    stopping = asyncio.create_task(server.shutdown())
    await until(lambda: not server.servers[0].is_serving())
    writer.write(REQUEST)
    answer = await reader.read()  # to the end, since the connection ends with it
    assert answer.startswith(OK)
    assert b"connection: close" in answer
    await asyncio.wait_for(stopping, 8)
    writer.close()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system has no such filter")
async def test_before_it_stops_nobody_begins_to_connect(server: Server) -> None:
    (listener,) = server.servers[0].sockets
    with socket.socket(fileno=os.dup(listener.fileno())) as same, socket.socket() as client:
        stopping._let_nobody_begin(same)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.connect(address(server))


async def test_it_stops_without_descriptors_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(os, "dup", none_left)
    await asyncio.wait_for(server.shutdown(), 10)
    assert not server.servers[0].is_serving()


async def test_a_connection_without_a_request_is_not_waited_for(server: Server) -> None:
    reader, writer = await asyncio.open_connection(*address(server))
    await until(lambda: bool(server.server_state.connections))
    await asyncio.wait_for(server.shutdown(), 10)
    assert await reader.read() == b""
    writer.close()
