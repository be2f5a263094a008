"""The outermost middleware: the ids, headers, limits, errors and access record of each request."""

import asyncio
import logging
import sys
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import telemetry
from app.core.context import RequestContext, enter
from app.core.errors import BadRequest, ServiceError, ServiceUnavailable
from app.core.http import problems
from app.core.http.lifecycle import Lifecycle
from app.core.http.limits import BoundedBody, DeadlineTimer, RequestRefused
from app.core.http.security import PROBES, HttpSettings, below, headers, is_trusted_host, with_cors
from app.core.observability.access_log import AccessLog
from app.core.observability.redaction import loggable_path

if TYPE_CHECKING:
    from app.core.http.websockets import WebSockets

logger = logging.getLogger(__name__)
BODILESS = frozenset({204, 304})
"""Statuses whose response ends with its headers (RFC 9112, 6.3): a body would be taken for the next response."""
DESCRIBES_BODY = frozenset({b"content-length", b"content-type", b"transfer-encoding"})


class RequestMiddleware:
    """Gives every response an id, headers and a record: also a 500, a 413 and the answer to a preflight."""

    def __init__(
        self,
        app: ASGIApp,
        sockets: "WebSockets",
        settings: HttpSettings,
        access: AccessLog,
        lifecycle: Lifecycle,
        answers_head: Callable[[str], bool],
    ) -> None:
        self.app = app
        self.sockets = sockets
        self.answers_head = answers_head
        """Returns whether a route declares HEAD for a path. Everywhere else GET answers it, without the body."""
        self.settings = settings
        self.timer = DeadlineTimer(settings.request_timeout, settings.stream_timeout, settings.background_timeout)
        self.access = access
        self.lifecycle = lifecycle
        self.trusted = () if "*" in settings.trusted_hosts else tuple(host.lower() for host in settings.trusted_hosts)
        self.headers = headers(settings)
        self.replaceable = {name for name, _ in self.headers} - {b"vary"}
        """Headers that a route may send itself."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan; a WebSocket is served by `sockets`."""
        root = scope["type"] != "lifespan" and (self.settings.root_path or scope.get("root_path", ""))
        if root:
            scope = below(root, scope)
        if scope["type"] != "http":
            await (self._lifespan if scope["type"] == "lifespan" else self.sockets)(scope, receive, send)
            return
        given = dict(scope["headers"])
        request = RequestContext(
            method=scope["method"],
            path=scope["path"][len(root) :] if root else scope["path"],
            client=scope["client"][0] if scope["client"] else "",
            body_limit=self.settings.body_limit,
            body_seconds=self.settings.receive_timeout,
        )
        if root:
            request.root_path = root
        if request.method == "HEAD" and not self.answers_head(request.path):
            scope = {**scope, "method": "GET"}  # the server has its own scope, and sends the head alone
        request.identify(given.get(b"x-correlation-id"), given.get(b"traceparent"))
        if agent := given.get(b"user-agent"):
            request.user_agent = agent[:200].decode("latin-1")
        enter(request)
        if telemetry.anyone_listens_to(telemetry.RequestStarted):
            telemetry.emit(telemetry.RequestStarted(request.method, request.path))
        writer = ResponseWriter(self, scope, request, send)
        body = BoundedBody(receive, given.get(b"content-length"), writer)
        try:
            if self.trusted and request.path not in PROBES:
                self._check_host(given.get(b"host", b""))
            await self.app(scope, body, writer.send)
        except RequestRefused:
            return
        except asyncio.CancelledError as error:
            if writer.finished:
                late = (
                    f"after {self.settings.background_timeout:g} seconds" if writer.deadline.expired else "at the stop"
                )
                logger.warning("cancelled a background task %s", late)
                return
            if not writer.deadline.expired or writer.deadline.task is None:
                raise  # the server stops
            writer.deadline.task.uncancel()
            self.timer.stop(writer.deadline)
            logger.warning("gave up a request after %g seconds", self.timer.seconds)
            given_up = ServiceUnavailable("the request took too long and was given up")
            await writer.fail(problems.stored_in_part() if request.stored else given_up, error)
        except Exception as error:  # noqa: BLE001  # answered and logged there
            await self._answer(writer, error)
        finally:
            writer.finish()
            self.timer.stop(writer.deadline)

    def _check_host(self, host: bytes) -> None:
        if not is_trusted_host(host, self.trusted):
            raise BadRequest("the Host header names no host of this service")

    async def _answer(self, writer: "ResponseWriter", error: Exception) -> None:
        """Answer an error that no handler of FastAPI has answered."""
        if isinstance(error, ServiceError):  # raised by the middleware of a component
            await writer.fail(error, error)
        elif isinstance(error, ClientDisconnect):  # no one reads the answer; the record has its status
            await writer.fail(BadRequest("the body did not arrive whole"), error)
        else:
            logger.exception("unexpected error")
            telemetry.emit(telemetry.RequestFailed(error, route_template(writer.scope)))
            if not writer.finished:  # a background task may fail: then the client has its whole answer
                await writer.fail(problems.InternalError(), error)

    def record(self, scope: Scope, request: RequestContext) -> None:
        """Write the access record, and emit the event of the finished request."""
        duration = perf_counter() - request.started
        route = route_template(scope)
        self.access(request, route, duration)
        if telemetry.anyone_listens_to(telemetry.RequestFinished):
            path = loggable_path(request.path)
            telemetry.emit(
                telemetry.RequestFinished(
                    request.method, route, request.status, duration, request.received, request.sent, path
                )
            )

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_one_line(message: Message) -> None:
            error = sys.exception()
            if message["type"] == "lifespan.startup.failed" and isinstance(error, ServiceError):
                message = {**message, "message": error.message}
            await send(message)

        scope["state"]["http"] = self.settings  # for the protocols, which know the state alone
        scope["state"]["websockets"] = self.sockets.settings
        try:
            await self.app(scope, receive, send_one_line)
        except ServiceError:
            return  # logged in one line already; the server exits because of it


class ResponseWriter:
    """The response of one request. Its last byte ends the request, while background tasks go on."""

    __slots__ = ("_send", "bodiless", "deadline", "finished", "middleware", "refused", "request", "scope")

    def __init__(self, middleware: RequestMiddleware, scope: Scope, request: RequestContext, send: Send) -> None:
        self.middleware = middleware
        self.scope = scope
        self.request = request
        self._send = send
        self.deadline = middleware.timer.start()
        self.bodiless = False
        self.refused = False
        """Answered in the application's place: what it still sends is dropped."""
        self.finished = False

    async def send(self, message: Message) -> None:
        """Pass a part of the response on."""
        if self.refused:
            return
        last = False
        if message["type"] == "http.response.start":
            if not 200 <= message["status"] < 600:  # the client would wait for another response
                raise ValueError(f"{message['status']} is not the status of a response: take one from 200 to 599")
            self._complete_headers(message)
            self.extend()
        elif message["type"] == "http.response.body":
            if self.bodiless or self.request.method == "HEAD":
                message["body"] = b""
            self.request.sent += len(message.get("body", b""))
            last = not message.get("more_body", False)
            if not last and self.request.method == "HEAD":
                await self._send({**message, "more_body": False})
                self.refused = True
                self.finish()
                raise RequestRefused  # what streams the body of GET has no reader
            if not last:
                self.request.streams = True
                self.extend()
        await self._send(message)
        if last:
            self.finish()

    def extend(self) -> None:
        """Let the time start again: of a request with each part of its body, of a stream with each part of it."""
        if not self.finished:
            settings = self.middleware.settings
            seconds = settings.stream_timeout if self.request.status else settings.request_timeout
            self.middleware.timer.extend(self.deadline, seconds)

    def client_gone(self) -> None:
        """End a request whose client has left during the response: there is no last byte."""
        if self.request.status:
            self.finish()

    def finish(self) -> None:
        """Write the record, once: at the last byte, or when there will be none. From now on the work is background."""
        if not self.finished:
            self.finished = True
            self.middleware.timer.extend(self.deadline, self.middleware.settings.background_timeout)
            self.middleware.record(self.scope, self.request)

    async def fail(self, error: ServiceError, cause: BaseException) -> None:
        """Send an error response.

        Raises:
            BaseException: the cause, if the response has begun: the server then cuts the connection, so that no client
                takes a part for the whole.
        """
        if self.finished:
            logger.warning("something failed after the answer", exc_info=cause)
        elif self.request.status:
            raise cause
        else:
            await self.refuse(error)

    async def refuse(self, error: ServiceError) -> None:
        """Answer in the application's place."""
        if not self.request.status:
            path = self.request.root_path + self.request.path
            answer = with_cors(problems.response(error, path), self.middleware.settings)
            await answer(self.scope, _receive_nothing, self.send)
        self.refused = True

    def _complete_headers(self, message: Message) -> None:
        request, middleware = self.request, self.middleware
        request.status = message["status"]
        given = message.get("headers", ())
        common = middleware.headers
        names = {name for name, _ in given}
        if not middleware.replaceable.isdisjoint(names):
            common = [header for header in common if header[0] not in names or header[0] == b"vary"]
        self.bodiless = request.status in BODILESS
        if self.bodiless:
            given = [header for header in given if header[0] not in DESCRIBES_BODY]
        correlation = (b"x-correlation-id", request.correlation_id.encode())
        message["headers"] = [*given, *common, *request.headers, correlation]
        if middleware.lifecycle.draining:
            message["headers"].append((b"connection", b"close"))


async def _receive_nothing() -> Message:
    return {"type": "http.disconnect"}


def route_template(scope: Scope) -> str:
    """Return the path of the matched route as it was declared, with its prefix; `unmatched` if there is none."""
    effective: Any = scope.get("fastapi", {}).get("effective_route_context")
    route = scope.get("route") if effective is None else effective.starlette_route or effective
    return getattr(route, "path", None) or "unmatched"
