"""WebSockets of clients that flood, stall, lie or leave, and of a server that stops."""

import asyncio
import os
import socket
import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close

from app.core.http.security import HttpSettings
from app.core.http.websockets import WebSocketSettings
from app.core.server import websockets
from tests.core.sockets import server, serving

KEY = b64encode(os.urandom(16))
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY + b"\r\n\r\n"
)
SWITCHING = b"HTTP/1.1 101 "
ENDED: list[str] = []
CODES: list[int] = []


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Echo, push without end, take nothing, or go on without the client; over HTTP answer with nothing."""
    path = scope["path"]
    if scope["type"] == "http":
        await asyncio.sleep(0.2 if path == "/slow" else 0)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    try:
        while path == "/push":
            await send({"type": "websocket.send", "bytes": bytes(65536)})
        while path == "/deaf":
            await asyncio.sleep(0.05)
        while (message := await receive())["type"] == "websocket.receive":
            await send({**message, "type": "websocket.send"})
        CODES.append(message["code"])
    finally:
        ENDED.append(path)


@pytest.fixture(autouse=True)
def _nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websockets, "LINGER", 0.5)
    ENDED.clear()
    CODES.clear()


def frame(payload: bytes, *, opcode: int = 2, fin: bool = True) -> bytes:
    """A frame of a client, whose mask changes nothing."""
    size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xff" + struct.pack("!Q", len(payload))
    return bytes([opcode | (0x80 if fin else 0)]) + size + bytes(4) + payload


@asynccontextmanager
async def raw(url: str, path: bytes = b"/echo") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """An open WebSocket whose client sends what it likes."""
    connection = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(HANDSHAKE.replace(b"/echo", path))
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(SWITCHING)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def until(ended: str) -> None:
    """Wait until the application has ended."""
    async with asyncio.timeout(5):
        while ended not in ENDED:
            await asyncio.sleep(0.01)


def code(received: bytes) -> int:
    """The code of a close frame at the end of what was received."""
    start = received.rindex(b"\x88")
    return int.from_bytes(received[start + 2 : start + 4], "big")


@pytest.mark.parametrize("message", ["x" * 20_000_000, ["x" * 1000] * 200], ids=["whole", "in frames"])
async def test_a_message_that_is_too_large_is_1009_and_the_client_learns_it(message: Any) -> None:
    async with (
        serving(app, websockets=WebSocketSettings(message_limit=100_000)) as url,
        connect(f"{url}/echo") as client,
    ):
        await client.send("y" * 100_000)
        assert await client.recv() == "y" * 100_000
        with suppress(ConnectionClosed):
            await client.send(message)
        with pytest.raises(ConnectionClosed) as raised:
            await client.recv()
    assert raised.value.rcvd
    assert raised.value.rcvd.code == 1009
    assert CODES == [1009]


async def test_a_client_that_reads_once_it_has_sent_all_learns_the_code() -> None:
    loop = asyncio.get_running_loop()
    async with serving(app, websockets=WebSocketSettings(message_limit=100_000)) as url:
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as client:
            client.setblocking(False)
            await loop.sock_sendall(client, HANDSHAKE)
            await asyncio.sleep(0.1)
            assert (await loop.sock_recv(client, 4096)).startswith(SWITCHING)
            await loop.sock_sendall(client, frame(bytes(20_000_000)))
            await asyncio.sleep(0.2)
            assert code(await loop.sock_recv(client, 4096)) == 1009


async def test_frames_without_end_and_without_content_are_1009() -> None:
    async with serving(app) as url, raw(url) as (reader, writer):
        writer.write(frame(b"", fin=False) + frame(b"", opcode=0, fin=False) * (websockets.MOST_FRAMES + 1))
        assert code(await asyncio.wait_for(reader.read(100), 5)) == 1009


async def test_text_that_is_no_utf8_is_1007_and_one_line(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(app) as url, raw(url) as (reader, writer):
        writer.write(frame(b"\xff\xfe", opcode=1))
        assert code(await asyncio.wait_for(reader.read(100), 5)) == 1007
    assert [record.levelname for record in caplog.records if record.exc_info or record.levelno > 20] == ["WARNING"]


async def test_of_a_flood_of_messages_few_wait_as_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[int] = []
    receive = websockets.BoundedWebSocket.receive

    async def watched(self: websockets.BoundedWebSocket) -> Any:
        waiting.append(self.queue.qsize())
        return await receive(self)

    monkeypatch.setattr(websockets.BoundedWebSocket, "receive", watched)
    async with serving(app) as url, raw(url) as (reader, writer):
        writer.write(frame(b"") * 10_000)
        await asyncio.wait_for(reader.readexactly(2 * 10_000), 10)
    assert 100 < max(waiting) <= websockets.PIECE // len(frame(b"")) + 1


async def test_pings_of_a_client_that_reads_nothing_are_not_collected() -> None:
    settings = HttpSettings(background_timeout=0.1)
    async with server(app, http=settings) as (running, url), raw(url, b"/deaf") as (_, writer):
        (connection,) = running.server_state.connections
        connection.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        writer.write(frame(bytes(100), opcode=9) * 15_000)
        while writer.transport.get_write_buffer_size():
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        assert 50_000 < connection.transport.get_write_buffer_size() < 200_000


async def test_a_client_that_takes_nothing_is_cut() -> None:
    async with serving(app, http=HttpSettings(stall_timeout=0.3)) as url, raw(url, b"/push"):
        await until("/push")


async def test_a_client_that_answers_no_ping_is_1011() -> None:
    async with serving(app, websockets=WebSocketSettings(ping_interval=0.2)) as url, raw(url) as (reader, _):
        received = await asyncio.wait_for(reader.read(), 5)
        assert (received[:2], code(received)) == (b"\x89\x04", 1011)
        await until("/echo")
        assert CODES == [1011]


async def test_a_client_that_answers_pings_stays() -> None:
    async with serving(app, websockets=WebSocketSettings(ping_interval=0.1)) as url, connect(f"{url}/echo") as client:
        await asyncio.sleep(0.5)
        await client.send("still here")
        assert await client.recv() == "still here"


async def test_a_client_that_leaves_without_a_word_is_1006() -> None:
    async with serving(app) as url:
        async with raw(url):
            pass
        await until("/echo")
    assert CODES == [1006]


async def test_an_application_goes_on_without_its_client_for_a_time() -> None:
    async with serving(app, http=HttpSettings(background_timeout=0.3)) as url:
        async with raw(url, b"/deaf"):
            pass
        await asyncio.sleep(0.15)
        assert ENDED == []
        await until("/deaf")


@pytest.mark.parametrize("path", ["/echo", "/deaf", "/push"])
async def test_a_stop_closes_with_1012_and_waits_for_no_route_for_long(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(websockets, "GRACE", 0.2)
    async with server(app) as (running, url), connect(f"{url}{path}", max_queue=1) as client:
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(stop(running))
        with pytest.raises(ConnectionClosed) as raised:
            while True:
                await client.recv()
        assert raised.value.rcvd == Close(1012, "")
        await asyncio.wait_for(stopping, 5)
    assert path in ENDED
    assert path == "/deaf" or not [record for record in caplog.records if record.levelname == "ERROR"]


async def stop(running: uvicorn.Server) -> None:
    """Stop as on a signal, but for the lifespan."""
    running.force_exit = False
    await running.shutdown()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HANDSHAKE.replace(b"GET", b"POST"), 200),
        (HANDSHAKE.replace(b"HTTP/1.1", b"HTTP/1.0"), 200),
        (HANDSHAKE.replace(b"Version: 13", b"Version: 12"), 200),
        (HANDSHAKE.replace(KEY, b"short"), 200),
        (HANDSHAKE.replace(b"Host: test", b"Host: test\r\nCookie: " + b"x" * 9000), 431),
        (HANDSHAKE.replace(b"Host: test", b"Host: test" + b"\r\nX-A: b" * 200), 431),
        (HANDSHAKE.replace(b"/echo", b"/" + b"x" * 9000), 431),
        (HANDSHAKE + frame(b"too soon"), 400),
        (HANDSHAKE.replace(b"/echo", b"/slow").replace(b"websocket", b"h2c") + HANDSHAKE, 200),
    ],
)
async def test_what_is_no_handshake_is_answered_as_http(head: bytes, status: int) -> None:
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(head)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        writer.close()


async def test_a_handshake_behind_a_request_that_runs_is_refused_and_that_one_answered() -> None:
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n" + HANDSHAKE)
        received = await asyncio.wait_for(reader.read(), 5)
        assert (received.count(b"HTTP/1.1 200 "), received.count(SWITCHING)) == (1, 0)
        writer.close()


async def test_a_handshake_behind_an_answered_request_is_accepted() -> None:
    async with serving(app) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(SWITCHING)
        writer.write(frame(b"hello"))
        assert await reader.readexactly(7) == b"\x82\x05hello"
        writer.close()


async def test_no_line_shows_a_query_or_a_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with serving(app) as url, connect(f"{url}/echo?token=hidden-one") as client:
        await client.send("hidden-two")
        await client.recv()
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("websockets.")]
    assert not [line for line in lines if "hidden" in line]
