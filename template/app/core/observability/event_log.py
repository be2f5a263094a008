"""The log lines of what happens: each event of telemetry is one, unless its level is off."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import structlog

from app.core.component import Component, State
from app.core.observability.logging import LogSettings
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
"""`RequestFinished` is not among them: the access log has it."""


def component(settings: LogSettings) -> Component:
    """Logs the events while the service is open. Nobody listens for a level that is off, so nothing is made for it."""
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
    logger = structlog.get_logger("telemetry")

    def write(event: Any) -> None:
        # `service` is this service in every line.
        named = (("peer_service" if name == "service" else name, value) for name, value in event._asdict().items())
        fields = {name: value for name, value in named if value is not None}
        getattr(logger, level)(message, **fields)

    return write
