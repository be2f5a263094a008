"""A proxy before PostgreSQL that knows where a message ends: it delays, freezes, cuts or resets at any of them.

A request is all that goes up to a Query, a Sync or a Flush, an answer all that comes back to it:
https://www.postgresql.org/docs/current/protocol-message-formats.html
"""

import asyncio
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import NamedTuple

SSL, GSS, CANCEL = 80877103, 80877104, 80877102
"""The codes of a first message that opens no session."""
KINDS = ("delay", "long delay", "freeze", "cut before", "cut after", "reset")
READY = frozenset({b"Z"})
DESCRIBED = frozenset({b"T", b"n", b"E"})
"""The messages that end the answer to a statement that is only prepared: its columns, none, or an error."""
_WORDS = re.compile(r"\s+")


class Message(NamedTuple):
    """A request or an answer that is about to be passed on."""

    connection: int
    direction: str
    """`request` or `answer`."""
    statement: str
    """The SQL that it is about, its first words."""

    def __str__(self) -> str:
        return f"{self.direction} of {self.statement}"


Decide = Callable[[Message], str | None]
"""Says which fault, if any, happens at a message."""


class Proxy:
    """Passes everything on, but for what `decide` says."""

    def __init__(self, upstream: str, *, delay: float, long_delay: float, frozen: float) -> None:
        self.upstream = upstream
        self.frozen = frozen
        """Seconds after which both ends of a frozen connection are cut: until then neither hears of the other."""
        self.delays = {"delay": delay, "long delay": long_delay}
        self.port = 0
        self.decide: Decide = lambda _: None
        self.injected: Counter[str] = Counter()
        self.opened = count(1)
        self.lines: set[Line] = set()
        self.loop = asyncio.new_event_loop()

    def heal(self) -> None:
        """Let everything pass from now on."""
        self.decide = lambda _: None

    def hang_up(self) -> None:
        """End every connection, from any thread."""
        self.loop.call_soon_threadsafe(self._end_all)

    def _end_all(self) -> None:
        for line in [*self.lines]:
            line.end()

    def fault(self, message: Message) -> str | None:
        """The fault at this message, counted."""
        kind = self.decide(message)
        if kind is not None:
            commit = "COMMIT" if message.statement.startswith("COMMIT") else "other"
            self.injected[f"{kind} ({message.direction}, {commit})"] += 1
        return kind

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        try:
            code, first = await _first(reader, writer)
            up_reader, up_writer = await asyncio.open_unix_connection(self.upstream)
        except (OSError, asyncio.IncompleteReadError):
            writer.close()
            return
        line = Line(self, next(self.opened), writer, up_writer)
        self.lines.add(line)
        try:
            if code == CANCEL:
                up_writer.write(first)
                await up_reader.read()  # the server closes once it has done so
            else:
                await line.serve(first, reader, up_reader)
        finally:
            line.end()
            self.lines.discard(line)


class Line:
    """One connection: what the client sends, and what the server sends."""

    def __init__(self, proxy: Proxy, number: int, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.proxy = proxy
        self.number = number
        self.client = client
        self.server = server
        self.statements: dict[bytes, str] = {}
        self.asked: list[tuple[str, frozenset[bytes]]] = []
        """The statements still to be answered, with the kinds of messages that end each answer."""
        self.frozen = False

    async def serve(self, first: bytes, client: asyncio.StreamReader, server: asyncio.StreamReader) -> None:
        """Pass messages on in both directions, until one of them ends or a fault ends both."""
        pumps = [
            asyncio.create_task(self._pump("request", self._requests(first, client), self.server)),
            asyncio.create_task(self._pump("answer", self._answers(server), self.client)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()

    async def _pump(
        self, direction: str, messages: AsyncIterator[tuple[str, bytes]], out: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            async for statement, data in messages:
                kind = self.proxy.fault(Message(self.number, direction, statement))
                if kind in {"cut before", "reset"}:
                    self.end(reset=kind == "reset")
                    return
                if kind == "freeze":
                    self.frozen = True
                await asyncio.sleep(self.proxy.delays.get(kind or "", 0.0))
                if self.frozen:
                    await asyncio.sleep(self.proxy.frozen)
                    return
                out.write(data)
                await out.drain()
                if kind == "cut after":
                    return

    async def _requests(self, first: bytes, reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
        self.asked.append(("startup", READY))
        yield "startup", first
        statement, data = "", b""
        while True:
            kind, body = await _message(reader)
            data += kind + struct.pack("!i", len(body) + 4) + body
            if kind == b"Q":
                statement = _words(body[:-1])
            elif kind == b"P":
                name, sql, *_ = body.split(b"\0", 2)
                statement = self.statements[name] = _words(sql)
            elif kind == b"B":
                statement = self.statements.get(body.split(b"\0", 2)[1], "?")
            if kind in {b"Q", b"S", b"H"}:
                self.asked.append((statement, DESCRIBED if kind == b"H" else READY))
            if kind in {b"Q", b"S", b"H", b"X"}:
                yield statement, data
                statement, data = "", b""

    async def _answers(self, reader: asyncio.StreamReader) -> AsyncIterator[tuple[str, bytes]]:
        data = b""
        while True:
            kind, body = await _message(reader)
            data += kind + struct.pack("!i", len(body) + 4) + body
            if self.asked and kind in self.asked[0][1]:
                yield self.asked.pop(0)[0], data
                data = b""

    def end(self, *, reset: bool = False) -> None:
        """Close both ends; a reset tells the client at once that everything is lost."""
        if reset and (plain := self.client.get_extra_info("socket")) is not None:
            with suppress(OSError):
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.client.transport.abort()
        for end in (self.client, self.server):
            end.close()


async def _first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[int, bytes]:
    """The message that opens a session, once encryption has been refused."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!ii", head)
        if code not in {SSL, GSS}:
            return code, head + await reader.readexactly(length - 8)
        writer.write(b"N")


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    return head[:1], await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


def _words(sql: bytes) -> str:
    return _WORDS.sub(" ", sql.decode(errors="replace")).strip()[:60]


@contextmanager
def serve(upstream: str, *, delay: float, long_delay: float, frozen: float) -> Iterator[Proxy]:
    """A proxy before the server that listens on this Unix socket, in a thread of its own."""
    proxy = Proxy(upstream, delay=delay, long_delay=long_delay, frozen=frozen)
    loop, ready, stopping = proxy.loop, threading.Event(), asyncio.Event()

    async def main() -> None:
        server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        ready.set()
        await stopping.wait()
        server.close()
        proxy._end_all()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()), name="proxy")
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join(10)
        loop.close()
