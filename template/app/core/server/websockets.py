"""One WebSocket of uvicorn, within bounds: messages that wait, frames, and time for a client that reads nothing."""

import asyncio
import logging
import re
from collections.abc import Collection, Iterable
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from app.core.http.security import HttpSettings
from app.core.http.websockets import LOST, WebSocketSettings

PIECE = 4096
"""Bytes that are parsed at once: what is behind a message that waits for the application stays bytes."""
MOST_FRAMES = 4096
"""The frames of one message. An empty one adds nothing to its size."""
LINGER = 2.0
"""Seconds for the client to answer a close: a connection that is closed at once may lose its code."""
GRACE = 5.0
"""Seconds for a route to end after the server has closed its WebSocket, to stop."""
RESTART = 1012
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """Leave out uvicorn's lines that show the query, which may hold a token, and tracebacks of a client's mistake."""
    if str(record.msg).startswith("Invalid UTF-8"):
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return record.levelno > logging.INFO


logger = logging.getLogger("uvicorn.websockets")
logger.addFilter(_is_worth_a_line)


def is_handshake(method: str, version: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return whether this is the handshake of a client that speaks RFC 6455."""
    given = dict(headers)
    key, spoken = given.get(b"sec-websocket-key", b""), given.get(b"sec-websocket-version")
    return method == "GET" and version == "1.1" and spoken == b"13" and _KEY.fullmatch(key) is not None


def is_too_large(url: bytes, headers: Collection[tuple[bytes, bytes]]) -> bool:
    """Return whether the library that parses a handshake would drop it without an answer."""
    longest = max(len(url) + len("GET  HTTP/1.1"), *(len(name) + len(value) + 2 for name, value in headers))
    return longest + 2 > MAX_LINE_LENGTH or len(headers) > MAX_NUM_HEADERS


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """RFC 6455 with the bounds that uvicorn alone does not have."""

    _ahead = b""
    """The data behind a message that waits for the application."""
    _ended = False
    """The server has sent a close frame without the application."""
    _stops = False
    _task: "asyncio.Task[Any] | None" = None
    """The application."""
    _unread: asyncio.TimerHandle | None = None
    """Cuts a client that takes nothing."""
    _overdue: asyncio.TimerHandle | None = None
    """Cancels an application that goes on without its client."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        settings = self.app_state.get("websockets") or WebSocketSettings()
        self.logger = self.conn.logger = logger
        self.conn.debug = False  # it logs headers and frames
        self.conn.max_message_size = settings.message_limit
        self.ping_interval = self.ping_timeout = settings.ping_interval
        self.close_timeout = LINGER

    @property
    def limits(self) -> HttpSettings:
        """The settings of the service behind this connection."""
        return self.app_state.get("http") or HttpSettings()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, until a message waits for the application. Nothing more is read then."""
        self._ahead += data
        self._parse()

    def _parse(self) -> None:
        while self._ahead and (self.close_sent or not self.read_paused) and not self.transport.is_closing():
            piece, self._ahead = self._ahead[:PIECE], self._ahead[PIECE:]
            super().data_received(piece)

    async def receive(self) -> Any:
        """Return the next message, and parse what is behind it."""
        message = await super().receive()
        self._parse()
        return message

    async def send(self, message: Any) -> None:
        """Send a message of the application.

        Raises:
            ClientDisconnected: the connection has ended meanwhile, which is no mistake of the application.
        """
        await self.writable.wait()
        if self._ended or self.transport.is_closing():
            raise ClientDisconnected
        await super().send(message)
        self.handshake_complete |= self.close_sent  # uvicorn leaves it at a refusal, and then logs an error
        if self._stops and message["type"] == "websocket.accept":
            self.shutdown()

    def handle_cont(self, event: Frame) -> None:
        """Take a further frame of a message, up to a number."""
        super().handle_cont(event)
        if len(self.frames) > MOST_FRAMES:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many frames")
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        """Answer a ping, unless the client takes nothing: only the last of many needs an answer (RFC 6455, 5.5.3)."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._expect_reading()

    def handle_parser_exception(self) -> None:
        """Close with the code of the error."""
        if not self._ended:
            close = self.conn.close_sent
            self._end(close.code if close else LOST, close.reason if close else "")

    def keepalive_timeout(self) -> None:
        """Close a connection whose client does not answer pings."""
        if not (self.close_sent or self.transport.is_closing()):
            self.conn.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
            self.handle_parser_exception()

    def shutdown(self) -> None:
        """Close with 1012, so that the client connects again, to another instance. A handshake is answered first."""
        self._stops = True
        if self.close_sent or self.transport.is_closing():
            super().shutdown()
        elif self.handshake_complete:
            self.conn.send_close(RESTART)
            self._end(RESTART, "")

    def _end(self, code: int, reason: str) -> None:
        """Send the close frame, tell the application, and let the client read it: unread data would reset it."""
        self._ended = self.close_sent = True
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_timer = self.loop.call_later(LINGER, self.transport.abort)
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        """Limit the time in which the client may take nothing."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread is not None and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None

    def _expect_reading(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self.limits.stall_timeout, self.transport.abort)

    async def run_asgi(self) -> None:
        """Run the application."""
        self._task = asyncio.current_task()
        await super().run_asgi()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._task = None
        if self._overdue is not None:
            self._overdue.cancel()
        elif not self.disconnected:
            self._expect_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application, and give it time to end."""
        if self.conn.close_rcvd is None and not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": LOST})
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)
        if self._task is not None:
            seconds = GRACE if self._stops else self.limits.background_timeout
            self._overdue = self.loop.call_later(seconds, self._task.cancel)
