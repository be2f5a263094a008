"""Random bytes for a socket, and the watch over a service that receives them: its memory, its lag and its log."""

import asyncio
import random
import re
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from tests.live.service import Line, Service

HOST = b"Host: 127.0.0.1\r\n"
JSON = b'{"reference": "f-1", "currency": "EUR", "lines": [{"product": "a", "quantity": 1, "price": "1.00"}]}'
POST = b"POST /api/v1/orders HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
CHUNKED = b"POST /api/v1/orders HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
MESSAGES = [
    b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET /api/v1/orders?limit=5&sort=-created_at HTTP/1.1\r\n" + HOST + b"Accept-Encoding: gzip\r\n\r\n",
    b"HEAD /api/v1/orders/1 HTTP/1.1\r\n" + HOST + b'If-Match: "1"\r\n\r\n',
    b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n",
    b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    b"GET http://127.0.0.1/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET /health/live HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"CONNECT 127.0.0.1:80 HTTP/1.1\r\n" + HOST + b"\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    POST + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON,
    POST + b"Content-Length: 5000000\r\nExpect: 100-continue\r\n\r\n" + JSON,
    CHUNKED + b"5\r\nhello\r\n1;name=value\r\nx\r\n0\r\nX-Trailer: a\r\n\r\n",
    CHUNKED + b"0\r\n" + b"a:b\r\n" * 50,
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\x00", b"\xff", b" ", b":", b"%", b"%00", b"%ff", b"%0d%0a", b"?", b"#", b"[", b"//",
    b"/../", b"\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Content-Length: 18446744073709551616\r\n", b"Content-Length: 0\r\n",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Host: a\r\n", b"X-Correlation-ID: a\r\n",
    b"Cookie: a=b\r\n", b"Range: bytes=0-\r\n", b"\xc0\x80", b"\xed\xa0\x80", b'"' * 40, b"{" * 500, b"[" * 20_000,
    b"1" * 5000, b"e9999",
]  # fmt: skip
LAG = 0.1
"""Seconds that no other client may wait."""
GROWTH = 10_000_000
"""Bytes of memory that attacks may leave behind."""


class Script(NamedTuple):
    """The bytes that one client sends, and its behaviour."""

    parts: list[bytes]
    pause: float
    reads: bool
    end: str
    """`close`, `half` (closes its own direction), `reset`, or `stay` (until the service ends the connection)."""


def script(chance: random.Random) -> Script:
    """Return a random script."""
    message = b"".join(chance.choices(MESSAGES, k=chance.choice([1, 1, 2, 5])))
    for _ in range(chance.choice([0, 1, 1, 2, 4, 16])):
        message = _mutated(message, chance)
    size = chance.choice([1, 7, 100, 1000, 65_536, 1_000_000]) if len(message) < 2000 else chance.choice([4000, 10**6])
    parts = [message[start : start + size] for start in range(0, len(message), size)][:300]
    pause = chance.choice([0, 0, 0.001]) if len(parts) < 100 else 0
    end = chance.choice(["close", "close", "close", "half", "half", "reset", "reset", "stay"])
    return Script(parts, pause, chance.random() < 0.6, end)


def _mutated(message: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(message) + 1)
    end = min(len(message), start + chance.choice([1, 4, 20, 200]))
    piece = message[start:end]
    times = max(1, min(chance.choice([2, 20, 1000, 20_000]), 400_000 // (len(piece) or 1)))
    other = chance.choice(MESSAGES)
    return message[:start] + chance.choice(
        [
            bytes([chance.randrange(256)]) + message[start + 1 :],
            chance.randbytes(chance.choice([1, 16, 300])) + message[start:],
            chance.choice(TOKENS) + message[start:],
            chance.choice(TOKENS) + message[end:],
            piece * times + message[end:],
            message[end:],
            other[chance.randrange(len(other)) :],
        ]
    )


async def play(port: int, what: Script, address: str = "127.0.0.1") -> None:
    """Be this client, to its end."""
    with suppress(ConnectionError, TimeoutError, OSError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        try:
            async with asyncio.timeout(10):
                for part in what.parts:
                    writer.write(part)
                    await writer.drain()
                    if what.pause:
                        await asyncio.sleep(what.pause)
                if what.end == "half":
                    writer.write_eof()
                if what.end == "stay" or what.reads:
                    async with asyncio.timeout(6 if what.end == "stay" else 0.1):
                        while await reader.read(65_536):
                            pass
        finally:
            if what.end == "reset":
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
                )
                writer.transport.abort()
            writer.close()


class Watch:
    """A second client, which asks for the health of a service all the time."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.delays: list[float] = []
        self.error: Exception | None = None
        self._process = Path("/proc", str(service.process.pid))
        self._ended = Event()

    def memory(self) -> int:
        """Return the bytes of memory that the service takes."""
        (found,) = re.findall(r"VmRSS:\s*(\d+) kB", (self._process / "status").read_text())
        return int(found) * 1024

    def peak(self) -> int:
        """Return the most bytes of memory since `forget_peak`."""
        (found,) = re.findall(r"VmHWM:\s*(\d+) kB", (self._process / "status").read_text())
        return int(found) * 1024

    def forget_peak(self) -> None:
        """Let the peak start at the memory of now: proc(5)."""
        (self._process / "clear_refs").write_text("5")

    def _computed(self) -> float:
        return int((self._process / "schedstat").read_text().split()[0]) / 1e9

    def run(self) -> None:
        """Ask until the end, or until it fails."""
        try:
            while not self._ended.is_set():
                with socket.create_connection(("127.0.0.1", self.service.port), timeout=60) as connection:
                    while not self._ended.is_set() and self._ask(connection):
                        time.sleep(0.002)
        except Exception as error:  # noqa: BLE001  # raised in the thread that waits for this one
            self.error = error

    def _ask(self, connection: socket.socket) -> bool:
        """Note how long an answer takes, as far as the service was at work: the machine may be busy with others.

        Return false if the connection was idle for so long that the service has closed it.
        """
        begun, computed, answer = time.perf_counter(), self._computed(), b""
        with suppress(ConnectionError):
            connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            while not answer.endswith(b"}") and (part := connection.recv(65_536)):
                answer += part
        if not answer:
            return False
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        waited = time.perf_counter() - begun
        self.delays.append(waited if waited > 2 else min(waited, self._computed() - computed))
        return True


@contextmanager
def watching(service: Service) -> Iterator[Watch]:
    """Watch a service until the block ends."""
    watch = Watch(service)
    thread = Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch._ended.set()
        thread.join()
    if watch.error is not None:
        raise watch.error


class Rounds(NamedTuple):
    """The cost of an attack: the longest delay of others in seconds, and the growth of memory in bytes."""

    delay: float
    growth: int
    number: int
    """The number of times that the attack was made: a long delay counts if it comes again each time."""


def attack(service: Service, clients: Callable[[], Awaitable[None]]) -> Rounds:
    """Run clients against a service, and return what they have cost."""
    delay, growth, number = float("inf"), 0, 0
    while number < 3 and delay >= LAG:
        number += 1
        with watching(service) as watch:
            watch.forget_peak()
            before = watch.memory()
            asyncio.run(_run(clients))
            growth = max(growth, watch.peak() - before)
        delay = min(delay, max(watch.delays))
    return Rounds(delay, growth, number)


def told(service: Service, after: int) -> list[Line]:
    """Return the lines of a log after some, without the records of requests."""
    return [line for line in service.lines()[after:] if line["logger"] != "access"]


async def _run(clients: Callable[[], Awaitable[None]]) -> None:
    await clients()
