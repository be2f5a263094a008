"""Logs: every line of the service and of its libraries on standard output, as JSON in production."""

import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from time import time
from types import TracebackType
from typing import Any, ClassVar, Literal

import orjson
import structlog
from pydantic import Field

from app.core import context
from app.core.observability.redaction import Scrubbed, loggable_path, redact
from app.core.settings import Group

_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "color_message"}
"""The attributes of a log record that its author did not give."""
_HIDDEN = {"module", "func_name", "lineno", "process", "thread"}
"""Fields that are left out in development, where they only hide the message."""


class LogSettings(Group):
    """The level and the format of the log."""

    group: ClassVar[str] = "log"
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="The lowest level that is logged.")
    format: Literal["auto", "json", "console"] = Field(
        "auto", description="`auto` is JSON in production, console elsewhere."
    )
    client_errors: Literal["INFO", "WARNING", "ERROR"] = Field(
        "WARNING", description="The level of the record of a 4xx answer."
    )
    libraries: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="The lowest level of lines that libraries log."
    )
    access: bool = Field(default=True, description="Whether to record each request, but for successful probes.")
    slow_request: float = Field(1.0, gt=0, description="Seconds until a request is logged as slow.")


class StdoutHandler(logging.Handler):
    """The handler of the root logger. Each line has the name and the version of the service."""

    libraries: ClassVar[int] = logging.INFO
    """The lowest level of libraries: at DEBUG they would hide what the service logs."""

    def __init__(self, service: str, version: str, *, as_json: bool) -> None:
        super().__init__()
        self.fields = {"service": service, "version": version}
        self.json = as_json
        self.console = structlog.dev.ConsoleRenderer(
            colors=sys.stdout.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the others show local variables: secrets, and seconds
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line. A line that cannot be made is reported in one that can."""
        if record.levelno < self.libraries and "site-packages" in record.pathname:
            return
        try:
            fields = self._fields(record)
        except Exception as error:  # noqa: BLE001  # reported in the line below
            place = f"{record.pathname}:{record.lineno}"
            told = {"name": __name__, "levelname": "ERROR", "msg": f"a log line of {place} cannot be made: {error!r}"}
            fields = self._fields(logging.makeLogRecord(told))
        self.write(fields)

    def write(self, record: dict[str, Any]) -> None:
        """Write one line. A stream that takes none (disk full, reader gone) costs the line, not the request."""
        if self.json:
            line = as_json(record | self.fields).decode()
        else:
            line = str(self.console(None, "", {key: value for key, value in record.items() if key not in _HIDDEN}))
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except (OSError, ValueError):
            return

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields |= fields.pop(_FIELDS, {})
        if record.exc_info:
            fields["exception"] = logging.Formatter().formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        said = record.msg if isinstance(record.msg, Scrubbed) else record.getMessage()
        fields = {"event": said, **about_request(), **fields, **context.ids()}
        return {
            "timestamp": _iso(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            **{name: redact(value, name) for name, value in fields.items()},
            "module": record.module,
            "func_name": record.funcName,
            "lineno": record.lineno,
            "process": record.process,
            "thread": record.thread,
        }


def about_request() -> dict[str, Any]:
    """Return the resource and the caller of the current request, as far as they are known."""
    request = context.current()
    if request is None or not request.path:
        return {}
    fields = {"method": request.method, "path": loggable_path(request.path)}
    return {**fields, "principal": request.principal} if request.principal else fields


_FIELDS = "structlog"
"""The attribute of a log record with the fields of structlog, whose names may be those of other attributes."""


def _for_logging(_: Any, __: str, event: Any) -> tuple[tuple[str], dict[str, Any]]:
    """Hand a line of structlog to the standard library: its last processor."""
    passed = {name: event.pop(name) for name in ("exc_info", "stack_info", "stacklevel") if name in event}
    return (event.pop("event"),), {**passed, "extra": {_FIELDS: event}}


def _iso(moment: float) -> str:
    seconds, fraction = divmod(moment, 1)
    return f"{_second(seconds)}.{int(fraction * 1_000_000):06}Z"


@lru_cache(maxsize=1)
def _second(seconds: float) -> str:
    """Return a second of UTC as ISO 8601, made once for all of its lines."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def write_record(level: str, logger: str, event: str, fields: Mapping[str, Any]) -> None:
    """Write a record past the loggers, which would be most of its time. `fields` hold no secrets."""
    record = {
        "timestamp": _iso(time()),
        "level": level,
        "event": event,
        "logger": logger,
        **fields,
        "process": os.getpid(),
        "thread": threading.get_ident(),
    }
    for handler in logging.getLogger().handlers:
        if isinstance(handler, StdoutHandler):
            handler.write(record)


def as_json(record: Mapping[str, Any]) -> bytes:
    """Return any record as one line, without its newline."""
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer beyond 64 bits, half a surrogate pair
        return json.dumps(record, default=str, skipkeys=True).encode()


def configure(settings: LogSettings, *, service: str, version: str, production: bool) -> None:
    """Send every logger, warning and uncaught exception to standard output."""
    in_json = settings.format == "json" or (settings.format == "auto" and production)
    StdoutHandler.libraries = logging.getLevelNamesMapping()[settings.libraries]
    handler = StdoutHandler(service, version, as_json=in_json)
    # A line of uvicorn, after the one that says why.
    handler.addFilter(lambda record: record.msg != "Application startup failed. Exiting.")
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, _for_logging],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [*(old for old in root.handlers if not isinstance(old, StdoutHandler)), handler]
    root.setLevel(settings.level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)
    sys.unraisablehook = lambda failed: _uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if error is None or issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), traceback)
        return
    logging.getLogger("uncaught").critical("uncaught %s", kind.__name__, exc_info=(kind, error, traceback))
