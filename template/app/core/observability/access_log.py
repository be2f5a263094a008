"""The access log, one record for each request, and the log lines of events."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from app.core import context
from app.core.component import Component, State
from app.core.context import RequestContext
from app.core.observability.logging import LogSettings, about_request, write_record
from app.core.observability.redaction import loggable_path, redact
from app.core.telemetry import descriptions, listening

QUIET_PATHS = frozenset({"/health/live", "/health/ready", "/health/startup", "/metrics"})
"""The requests of machines, every few seconds. An answer of success is recorded at DEBUG only."""


LEVELS = logging.getLevelNamesMapping()


class AccessLog:
    """Writes the record of a finished request or WebSocket; a slow request and a refused one are warnings."""

    def __init__(self, settings: LogSettings) -> None:
        self.quiet = not settings.access
        self.lowest = LEVELS[settings.level]
        self.client_errors = LEVELS[settings.client_errors]
        self.slow = settings.slow_request
        self.omitted = frozenset() if settings.level == "DEBUG" else QUIET_PATHS

    def __call__(self, request: RequestContext, route: str, duration: float) -> None:
        slow = duration >= self.slow and not request.streams
        level = max(logging.WARNING if slow else logging.INFO, self.client_errors if 400 <= request.status < 500 else 0)
        if self.quiet or level < self.lowest:
            return
        if request.path in self.omitted and request.status < 400 and not slow:
            return
        record = {
            "method": request.method,
            "route": route,
            "path": loggable_path(request.path),
            "status": request.status,
            "duration": round(duration, 6),
            "received": request.received,
            "sent": request.sent,
            "client": request.client,
            "user_agent": request.user_agent,
            "principal": request.principal,
            "code": request.code,
            "correlation_id": request.correlation_id,
            "trace_id": request.trace_id,
        }
        write_record(logging.getLevelName(level).lower(), "access", "slow request" if slow else "request", record)

    def closed(self, request: RequestContext, route: str, duration: float, code: int, received: int, sent: int) -> None:
        """Write the record of a WebSocket with its close code and the number of messages."""
        if self.quiet or self.lowest > logging.INFO:
            return
        record = {
            "route": route,
            "path": loggable_path(request.path),
            "close_code": code,
            "duration": round(duration, 6),
            "messages_received": received,
            "messages_sent": sent,
            "received": request.received,
            "sent": request.sent,
            "client": request.client,
            "user_agent": request.user_agent,
            "principal": request.principal,
            "code": request.code,
            **context.ids(),
        }
        write_record("info", "access", "websocket", record)


def component(settings: LogSettings) -> Component:
    """Log events while the service is open. Nothing listens for a level that is off, so no event is made for it."""
    levels = {"DEBUG": ("debug", "info"), "INFO": ("info",)}.get(settings.level, ())

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        with ExitStack() as stack:
            for event, (level, message) in descriptions("log").items():
                if level in levels:
                    stack.enter_context(listening(event, _writer(level, message)))
            yield {}

    return Component(name="events", lifespan=lifespan)


def _writer(level: str, message: str) -> Callable[[Any], None]:
    def write(event: Any) -> None:
        # `service` is this service in every line.
        named = (("peer_service" if name == "service" else name, value) for name, value in event._asdict().items())
        fields = {name: redact(value, name) for name, value in named if value is not None}
        write_record(level, "telemetry", message, {**about_request(), **fields, **context.ids()})

    return write
