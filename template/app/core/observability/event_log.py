"""The log lines of events: each event with a description is one line, unless its level is off."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from typing import Any

from app.core import context
from app.core.component import Component, State
from app.core.observability.logging import LogSettings, write_record
from app.core.observability.redaction import redact
from app.core.telemetry import events_with, listening


def component(settings: LogSettings) -> Component:
    """Log events while the service is open. Nothing listens for a level that is off, so no event is made for it."""
    levels = {"DEBUG": ("debug", "info"), "INFO": ("info",)}.get(settings.level, ())

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        with ExitStack() as stack:
            for event, (level, message) in events_with("log").items():
                if level in levels:
                    stack.enter_context(listening(event, _writer(level, message)))
            yield {}

    return Component(name="events", lifespan=lifespan)


def _writer(level: str, message: str) -> Callable[[Any], None]:
    def write(event: Any) -> None:
        # `service` is this service in every line.
        named = (("peer_service" if name == "service" else name, value) for name, value in event._asdict().items())
        fields = {name: redact(value, name) for name, value in named if value is not None}
        write_record(level, "telemetry", message, {**fields, **context.ids()})

    return write
