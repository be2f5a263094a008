"""Logs: every line of the service and of its libraries through one pipe, JSON in production, coloured at a desk."""

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, ClassVar, Literal

import orjson
import structlog
from pydantic import Field
from structlog.processors import CallsiteParameter, CallsiteParameterAdder
from structlog.stdlib import ProcessorFormatter

from app.core import context
from app.core.observability.redaction import redact
from app.core.settings import Group

EventDict = MutableMapping[str, Any]
Copy = Callable[[Mapping[str, Any], bytes], None]
"""Takes a line as fields and as JSON, both without secrets: called in every thread, it may neither wait nor fail."""

copies: list[Copy] = []
"""Who takes a copy of each line."""

_PLACE = ("module", "func_name", "lineno", "process", "thread")
"""Where a line comes from: left out at a desk, where it only hides the message."""


class LogSettings(Group):
    """What is logged, and how."""

    group: ClassVar[str] = "log"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The lowest level that is logged.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto` is JSON in production, console elsewhere."
    )
    access: bool = Field(default=True, description="One record for each request.")
    slow_request: float = Field(1.0, gt=0, description="Seconds after which a request is logged as slow.")


class Pipe(logging.Handler):
    """The one handler of the root logger. A class of its own, so that configuring twice replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. A line that cannot be made is told in one that can."""
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  # told in the line below
            place = f"{record.pathname}:{record.lineno}"
            told = {"name": __name__, "levelname": "ERROR", "msg": f"a log line of {place} cannot be made: {error!r}"}
            line = self.format(logging.makeLogRecord(told))
        write(line)


class Renderer:
    """The last step: one event as one line, with the name and the version of the service."""

    def __init__(self, service: str, version: str, *, as_json: bool) -> None:
        self.fields = {"service": service, "version": version}
        self.json = as_json
        self.console = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the others show local variables: secrets, and seconds
        )

    def __call__(self, _: Any, __: str, event: EventDict) -> str:
        """The line, without its newline."""
        event.pop("color_message", None)  # uvicorn's message once more, with colours
        if self.json or copies:
            record = {**event, **self.fields}
            line = as_json(record)
            hand_out(record, line)
            if self.json:
                return line.decode()
        for name in _PLACE:
            event.pop(name, None)
        return self.shown(event)

    def shown(self, event: EventDict) -> str:
        """The line for people."""
        return str(self.console(None, "", event))


def as_json(record: Mapping[str, Any]) -> bytes:
    """Any record as one line, without its newline."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer beyond 64 bits, half a surrogate pair
        return json.dumps(record, default=str, skipkeys=True).encode()


def hand_out(record: Mapping[str, Any], line: bytes) -> None:
    """Give a line to everyone who takes copies."""
    for take in copies:
        take(record, line)


@contextmanager
def copied_to(take: Copy) -> Iterator[None]:
    """Have `take` called with every line until the block ends, in whatever format standard output has them."""
    copies.append(take)
    try:
        yield
    finally:
        copies.remove(take)


def write(line: str) -> None:
    """Write one line. A stream that takes none (disk full, reader gone) costs the line, not the request."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        return


def configure(settings: LogSettings, *, service: str, version: str, production: bool) -> Renderer:
    """Send every logger, warning and uncaught exception through the one pipe to standard output."""
    renderer = Renderer(
        service, version, as_json=settings.format == "json" or (settings.format == "auto" and production)
    )
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        _add_ids,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        CallsiteParameterAdder(
            {
                CallsiteParameter.MODULE,
                CallsiteParameter.FUNC_NAME,
                CallsiteParameter.LINENO,
                CallsiteParameter.PROCESS,
                CallsiteParameter.THREAD,
            }
        ),
    ]
    handler = Pipe()
    # uvicorn's, after the line that says why.
    handler.addFilter(lambda record: record.msg != "Application startup failed. Exiting.")
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                renderer,
            ],
        )
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared[:2], *shared[3:], ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, Pipe)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.unraisablehook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
    return renderer


def _add_ids(_: Any, __: str, event: EventDict) -> EventDict:
    event.update(context.ids())
    return event


def _redact(_: Any, __: str, event: EventDict) -> EventDict:
    return {key: redact(value, key) for key, value in event.items()}


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), traceback)
        return
    logging.getLogger("uncaught").critical("uncaught %s", kind.__name__, exc_info=(kind, error, traceback))
