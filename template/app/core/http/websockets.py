"""WebSockets: the ids, checks, limits, errors and record of each connection."""

import asyncio
import logging
from contextlib import suppress
from time import perf_counter
from typing import ClassVar

from pydantic import Field
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from app.core import telemetry
from app.core.context import RequestContext, enter
from app.core.errors import BadRequest, NotFound, PermissionDenied, ServiceError, ServiceUnavailable
from app.core.http import problems
from app.core.http.limits import DeadlineTimer
from app.core.http.request_middleware import route_template
from app.core.http.security import HttpSettings, headers, is_trusted_host
from app.core.observability.access_log import AccessLog
from app.core.observability.redaction import loggable_path
from app.core.settings import Group

logger = logging.getLogger(__name__)
NORMAL, LOST, REFUSED, FAILED, TRY_LATER = 1000, 1006, 1008, 1011, 1013
"""Close codes (https://www.iana.org/assignments/websocket/): `LOST` is for records alone."""


class WebSocketSettings(Group):
    """The limits of WebSockets."""

    group: ClassVar[str] = "websockets"
    connections: int = Field(2000, ge=0, description="Open WebSockets of a process; a further one is a 503.")
    message_limit: int = Field(1_048_576, ge=1, description="The largest message in bytes; else 1009.")
    ping_interval: float = Field(20.0, gt=0, description="Seconds between pings, and for each answer; else 1011.")


class WebSockets:
    """Accepts or refuses each WebSocket, and closes it with the right code."""

    def __init__(self, app: ASGIApp, http: HttpSettings, settings: WebSocketSettings, access: AccessLog) -> None:
        self.app = app
        self.http = http
        self.settings = settings
        self.access = access
        self.timer = DeadlineTimer(http.request_timeout)
        self.trusted = () if "*" in http.trusted_hosts else tuple(host.lower() for host in http.trusted_hosts)
        self.headers = headers(http)
        self.open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, from its handshake to its record."""
        given = dict(scope["headers"])
        root = scope.get("root_path", "")
        request = RequestContext(
            method="GET",
            path=scope["path"].removeprefix(root),
            client=scope["client"][0] if scope["client"] else "",
        )
        if root:
            request.root_path = root
        request.identify(given.get(b"x-correlation-id"), given.get(b"traceparent"))
        if agent := given.get(b"user-agent"):
            request.user_agent = agent[:200].decode("latin-1")
        enter(request)
        telemetry.emit(telemetry.RequestStarted(request.method, request.path))
        connection = Connection(self, scope, request, receive, send)
        self.open += 1
        try:
            self._check(given)
            await self.app(scope, connection.receive, connection.send)
            if not connection.finished:
                await connection.close(NORMAL)
        except WebSocketDisconnect:  # the route did not expect that the client leaves
            await connection.read_close()
        except asyncio.CancelledError:
            await connection.read_close()
            if connection.deadline.expired and not connection.accepted:
                logger.warning("gave up a WebSocket that was not accepted within %g seconds", self.timer.seconds)
                await connection.fail(ServiceUnavailable("the request took too long and was given up"))
            else:  # by the protocol, some time after the connection has ended, or at the stop
                logger.warning("cancelled the route of a WebSocket")
                await connection.fail(problems.InternalError())
        except ServiceError as error:  # raised above, or by the middleware of a component
            await connection.fail(error)
        except Exception as error:
            logger.exception("unexpected error")
            telemetry.emit(telemetry.RequestFailed(error, route_template(scope)))
            await connection.fail(problems.InternalError())
        finally:
            self.open -= 1
            connection.finish(LOST)

    def _check(self, given: dict[bytes, bytes]) -> None:
        host = given.get(b"host", b"")
        if self.trusted and not is_trusted_host(host, self.trusted):
            raise BadRequest("the Host header names no host of this service")
        origin = given.get(b"origin", b"").decode("latin-1")
        if origin and not self._is_allowed(origin, host.decode("latin-1")):
            telemetry.emit(telemetry.SecurityEvent("permission_denied", reason=f"the origin {origin[:200]}"))
            raise PermissionDenied("this origin may not open a WebSocket here")
        if self.open > self.settings.connections:
            raise ServiceUnavailable("too many WebSockets are open")

    def _is_allowed(self, origin: str, host: str) -> bool:
        """Return whether a page of this origin may connect. Browsers send it, and ask no permission as for CORS."""
        if origin in self.http.cors_origins or "*" in self.http.cors_origins:
            return True
        scheme, _, name = origin.lower().partition("://")
        port = {"http": ":80", "https": ":443"}.get(scheme)
        return port is not None and name.removesuffix(port) == host.lower().removesuffix(port)


class Connection:
    """One WebSocket: its handshake is a request, and then it counts messages until it is closed."""

    __slots__ = (
        "_receive",
        "_send",
        "accepted",
        "deadline",
        "finished",
        "request",
        "scope",
        "sent",
        "sockets",
        "taken",
    )

    def __init__(
        self, sockets: WebSockets, scope: Scope, request: RequestContext, receive: Receive, send: Send
    ) -> None:
        self.sockets = sockets
        self.scope = scope
        self.request = request
        self._receive = receive
        self._send = send
        self.deadline = sockets.timer.start()
        self.accepted = False
        self.finished = False
        self.taken = 0
        self.sent = 0

    async def receive(self) -> Message:
        """Return the next message of the client."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self.taken += 1
            self.request.received += _size(message)
        elif message["type"] == "websocket.disconnect":
            self.finish(message.get("code", LOST))
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on, or what it means in the state of the connection."""
        kind = message["type"]
        if kind == "websocket.accept":
            message["headers"] = [*message.get("headers", ()), *self.request.headers, self._correlation]
            await self._send(message)
            self._accept()
        elif kind == "websocket.send":
            self.sent += 1
            self.request.sent += _size(message)
            await self._send(message)
        elif kind == "websocket.close" and not self.accepted:
            unmatched = route_template(self.scope) == "unmatched"
            await self.fail(NotFound() if unmatched else PermissionDenied(message.get("reason")))
        elif kind == "websocket.close":
            self.finish(message.get("code", NORMAL))
            await self._send(message)
        elif self.accepted:  # an error response, which comes too late for HTTP
            if kind == "websocket.http.response.start":
                status = message["status"]
                await self.close(TRY_LATER if status == 503 else FAILED if status >= 500 else REFUSED)
        else:
            await self._refuse(message)

    async def read_close(self) -> None:
        """Take what the route has not read, up to the close and its code, if it is there already."""
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                while self.accepted and not self.finished:
                    await self.receive()

    async def close(self, code: int) -> None:
        """Close with a code, and with the code of the error as the reason."""
        if not self.finished:
            if not self.accepted:  # the route has ended without a word
                logger.error("the route of a WebSocket neither accepted nor closed it")
                await self.fail(problems.InternalError())
                return
            await self.send({"type": "websocket.close", "code": code, "reason": self.request.code or ""})

    async def fail(self, error: ServiceError) -> None:
        """Refuse the handshake, or close, unless the connection has ended."""
        if self.finished:
            return
        answer = problems.response(error, self.request.root_path + self.request.path)
        try:
            await answer(self.scope, self._receive, self.send)
        except (OSError, WebSocketDisconnect):  # the client has left meanwhile
            return

    def finish(self, code: int) -> None:
        """Write the record, once."""
        if self.finished:
            return
        self.finished = True
        self.sockets.timer.stop(self.deadline)
        request, route = self.request, route_template(self.scope)
        duration = perf_counter() - request.started
        if not self.accepted:
            self._answered(request.status)
            self.sockets.access(request, route, duration)
            return
        self.sockets.access.closed(request, route, duration, code, self.taken, self.sent)
        telemetry.emit(telemetry.WebSocketClosed(route, code, duration, self.taken, self.sent))

    @property
    def _correlation(self) -> tuple[bytes, bytes]:
        return b"x-correlation-id", self.request.correlation_id.encode()

    def _accept(self) -> None:
        if not self.accepted:
            self.accepted = True
            self.sockets.timer.stop(self.deadline)
            self._answered(101)

    async def _refuse(self, message: Message) -> None:
        """Pass a part of an HTTP response on (https://asgi.readthedocs.io/en/latest/extensions.html)."""
        if message["type"] == "websocket.http.response.start":
            self.request.status = message["status"]
            own = {name for name, _ in message.get("headers", ())}
            common = [header for header in self.sockets.headers if header[0] not in own]
            message["headers"] = [*message["headers"], *common, *self.request.headers, self._correlation]
        self.request.sent += len(message.get("body", b""))
        await self._send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.finish(LOST)

    def _answered(self, status: int) -> None:
        """Emit the end of the handshake, which is a request."""
        request, route = self.request, route_template(self.scope)
        duration, path = perf_counter() - request.started, loggable_path(request.path)
        telemetry.emit(telemetry.RequestFinished(request.method, route, status, duration, 0, request.sent, path))


def _size(message: Message) -> int:
    text = message.get("text")
    return len(message.get("bytes") or b"") if text is None else len(text if text.isascii() else text.encode())
