"""The log lines of events: each event of telemetry is one, unless its level is off."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from app.core import context
from app.core.component import Component, State
from app.core.observability.logging import LogSettings, write_record
from app.core.observability.redaction import redact
from app.core.telemetry import (
    BreakerChanged,
    BusinessEvent,
    CacheRead,
    CallFinished,
    CallRetried,
    JobFinished,
    QueryFinished,
    SecurityEvent,
    TokensUsed,
    listening,
)

_LINES: dict[str, dict[type[tuple[Any, ...]], str]] = {
    "INFO": {
        BusinessEvent: "business event",
        SecurityEvent: "security event",
        JobFinished: "job finished",
        CallFinished: "call finished",
        BreakerChanged: "breaker changed",
        TokensUsed: "tokens used",
    },
    "DEBUG": {QueryFinished: "query finished", CacheRead: "cache read", CallRetried: "call retried"},
}
"""The access log has `RequestFinished`."""


def component(settings: LogSettings) -> Component:
    """Log events while the service is open. No one listens for a level that is off, so its events cost nothing."""
    levels = {"DEBUG": ("DEBUG", "INFO"), "INFO": ("INFO",)}.get(settings.level, ())

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        with ExitStack() as stack:
            for level in levels:
                for event, message in _LINES[level].items():
                    stack.enter_context(listening(event, _writer(level.lower(), message)))
            yield {}

    return Component(name="events", lifespan=lifespan)


def _writer(level: str, message: str) -> Callable[[Any], None]:
    def write(event: Any) -> None:
        # `service` is this service in every line.
        named = (("peer_service" if name == "service" else name, value) for name, value in event._asdict().items())
        fields = {name: redact(value, name) for name, value in named if value is not None}
        write_record(level, "telemetry", message, {**fields, **context.ids()})

    return write
