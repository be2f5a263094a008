"""Logs: every line of the service and of its libraries on standard output, as JSON in production."""

import json
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
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

_copies: list[Copy] = []
_HIDDEN = ("module", "func_name", "lineno", "process", "thread", "service", "version", "color_message")
"""Fields that are left out in development, where they only hide the message."""


class LogSettings(Group):
    """The level and the format of the log."""

    group: ClassVar[str] = "log"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The lowest level that is logged.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto` is JSON in production, console elsewhere."
    )
    access: bool = Field(default=True, description="One record for each request.")
    slow_request: float = Field(1.0, gt=0, description="Seconds after which a request is logged as slow.")


class Renderer:
    """Makes one line of a record, with the name and the version of the service."""

    def __init__(self, service: str, version: str, *, as_json: bool) -> None:
        self.fields = {"service": service, "version": version}
        self.json = as_json
        self.console = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the others show local variables: secrets, and seconds
        )

    def __call__(self, _: Any, __: str, record: EventDict) -> str:
        """Return the line without its newline: the last processor of structlog."""
        if self.json or _copies:
            record.pop("color_message", None)  # the message of uvicorn once more, with colours
            record.update(self.fields)
            line = as_json(record)
            for take in _copies:
                take(record, line)
            if self.json:
                return line.decode()
        return str(self.console(None, "", {key: value for key, value in record.items() if key not in _HIDDEN}))


_renderers: list[Renderer] = []
"""The one that `configure` has made last."""


def write_record(level: str, logger: str, event: str, fields: Mapping[str, Any]) -> None:
    """Write a record past the loggers, which take 32 µs for each line. `fields` hold no secrets."""
    record: EventDict = {
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "level": level,
        "event": event,
        "logger": logger,
        **fields,
        "process": os.getpid(),
        "thread": threading.get_ident(),
    }
    for renderer in _renderers:
        write(renderer(None, "", record))


def as_json(record: Mapping[str, Any]) -> bytes:
    """Return any record as one line, without its newline."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer beyond 64 bits, half a surrogate pair
        return json.dumps(record, default=str, skipkeys=True).encode()


@contextmanager
def copied_to(take: Copy) -> Iterator[None]:
    """Have `take` called with every line until the block ends, whatever the format of standard output."""
    _copies.append(take)
    try:
        yield
    finally:
        _copies.remove(take)


def write(line: str) -> None:
    """Write one line. A stream that takes none (disk full, reader gone) costs the line, not the request."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        return


class StdoutHandler(logging.Handler):
    """The one handler of the root logger. A class of its own, so that configuring twice replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. A line that cannot be made is reported in one that can."""
        try:
            line = self.format(record)
        except Exception as error:  # noqa: BLE001  # reported in the line below
            place = f"{record.pathname}:{record.lineno}"
            told = {"name": __name__, "levelname": "ERROR", "msg": f"a log line of {place} cannot be made: {error!r}"}
            line = self.format(logging.makeLogRecord(told))
        write(line)


def configure(settings: LogSettings, *, service: str, version: str, production: bool) -> None:
    """Send every logger, warning and uncaught exception to standard output."""
    renderer = Renderer(
        service, version, as_json=settings.format == "json" or (settings.format == "auto" and production)
    )
    place = CallsiteParameterAdder(
        [getattr(CallsiteParameter, name) for name in ("MODULE", "FUNC_NAME", "LINENO", "PROCESS", "THREAD")]
    )
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    named: list[structlog.typing.Processor] = [structlog.stdlib.add_log_level, structlog.stdlib.add_logger_name]
    handler = StdoutHandler()
    # A line of uvicorn, after the one that says why.
    handler.addFilter(lambda record: record.msg != "Application startup failed. Exiting.")
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*named, structlog.stdlib.ExtraAdder(), _add_ids, stamp, place],
            processors=[
                ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _redact,
                renderer,
            ],
        )
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *named,
            _add_ids,
            stamp,
            place,
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [old for old in root.handlers if not isinstance(old, StdoutHandler)]
    root.addHandler(handler)
    root.setLevel(settings.level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.unraisablehook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
    _renderers[:] = [renderer]


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
