"""A whole response is written at once, and every response is the same as uvicorn's own."""

import asyncio
import re
from typing import Any

import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from app.core.server.protocol import BoundedProtocol

Headers = list[tuple[bytes, bytes]]
LENGTH = (b"content-length", b"4")
GET = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"


class Writes(asyncio.Transport):
    """A transport that keeps what is written, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """A request waits for its turn."""

    def resume_reading(self) -> None:
        """A request has its turn."""


async def exchange(
    kind: type[HttpToolsProtocol], request: bytes, status: int, headers: Headers, *parts: bytes, fail: bool = False
) -> Writes:
    """Let a protocol serve one request, whose response has these headers and these parts of a body."""

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        if fail:
            raise RuntimeError("after the start of the response")
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    config = uvicorn.Config(app, http=kind, lifespan="off", log_config=None, server_header=False)
    config.load()
    protocol = kind(config=config, server_state=ServerState(), app_state={})
    transport = Writes()
    protocol.connection_made(transport)
    protocol.data_received(request)
    await asyncio.gather(*protocol.tasks)
    return transport


@pytest.mark.parametrize("body", [b"pong", b""])
async def test_a_whole_response_is_written_at_once(body: bytes) -> None:
    length = (b"content-length", b"%d" % len(body))
    assert len((await exchange(BoundedProtocol, GET, 200, [length], body)).written) == 1


async def test_a_stream_starts_before_its_body() -> None:
    assert (await exchange(BoundedProtocol, GET, 200, [], b"a", b"b")).written[0].endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status", "headers", "parts"),
    [
        (GET, 200, [LENGTH, (b"content-type", b"text/plain"), (b"etag", b'"1"')], [b"pong"]),
        (GET, 200, [LENGTH], [b"po", b"ng"]),
        (GET, 404, [LENGTH, LENGTH], [b"pong"]),
        (GET, 200, [], [b"pong"]),
        (GET, 200, [(b"transfer-encoding", b"chunked")], [b"pong"]),
        (GET, 200, [LENGTH, (b"connection", b"close")], [b"pong"]),
        (GET, 200, [(b"content-length", b"3")], [b"pong"]),
        (GET, 200, [(b"content-length", b"5")], [b"pong"]),
        (GET, 200, [LENGTH, (b"x-injected", b"a\r\nset-cookie: a=b")], [b"pong"]),
        (GET, 200, [LENGTH, (b"x injected", b"a")], [b"pong"]),
        (GET, 200, [LENGTH], []),
        (GET, 204, [], [b""]),
        (GET, 304, [(b"etag", b'"1"')], [b""]),
        (GET.replace(b"GET", b"HEAD"), 200, [LENGTH], [b"pong"]),
        (GET.replace(b"1.1", b"1.0"), 200, [LENGTH], [b"pong"]),
        (GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"), 200, [LENGTH], [b"pong"]),
        (GET + GET, 200, [LENGTH], [b"pong"]),
    ],
)
async def test_a_response_is_the_same_as_uvicorns(
    request_: bytes, status: int, headers: Headers, parts: list[bytes]
) -> None:
    ours = await exchange(BoundedProtocol, request_, status, headers, *parts)
    theirs = await exchange(HttpToolsProtocol, request_, status, headers, *parts)
    same = [re.sub(rb"\r\ndate: [^\r]+", b"", b"".join(each.written)) for each in (ours, theirs)]
    assert same[0] == (same[1] if parts else b"")  # what has no body is held back until the connection is closed
    assert ours.closed == theirs.closed


async def test_an_application_that_fails_after_the_start_ends_the_connection() -> None:
    transport = await exchange(BoundedProtocol, GET, 200, [LENGTH], fail=True)
    assert transport.closed
    assert transport.written == []
