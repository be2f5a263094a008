"""The writer: a thread that writes all files several times a second, so that no request waits for the disk."""

import errno
import logging
import os
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.core import context
from app.core.errors import ConfigurationInvalid
from app.core.observability.logging import StdoutHandler, as_json
from app.core.observability.redaction import redact
from app.core.telemetry import BusinessEvent, SecurityEvent
from app.extensions.log_files.file import LogFile
from app.extensions.log_files.settings import LogFilesSettings, Stream
from app.extensions.log_files.tidying import Tidying

Append = Callable[[bytes], None]


class FileHandler(StdoutHandler):
    """Appends each log line to its files, as JSON whatever the format of standard output is."""

    def __init__(
        self, files: Mapping[str, Append], *, service: str, version: str, own: Mapping[str, Stream] | None = None
    ) -> None:
        super().__init__(service, version, as_json=True)
        self.files = files
        self.own = [(f"{stream.logger}.", name) for name, stream in (own or {}).items()]

    def write(self, record: dict[str, Any]) -> None:
        """Append one line. It is called in every thread, so it neither waits nor fails."""
        line, level = as_json(record | self.fields), record.get("level")
        if record.get("logger") == "access":
            streams = ["access", *(["performance"] if record["event"] == "slow request" else [])]
        else:
            logger = f"{record.get('logger')}."
            main = next((name for prefix, name in self.own if logger.startswith(prefix)), "app")
            streams = [main, *(["errors"] if level in {"error", "critical"} else [])]
            streams += ["performance"] if "duration" in record else []
        for stream in streams:
            self.files[stream](line)


def auditor(audit: Append, *, service: str, version: str) -> Callable[[BusinessEvent | SecurityEvent], None]:
    """Return a listener that writes an event with its actor, whatever the level of the log is."""
    ids = {"service": service, "version": version, "process": os.getpid()}

    def write(event: BusinessEvent | SecurityEvent) -> None:
        request = context.current()
        who = {"principal": request.principal, "client": request.client} if request else {}
        kind = "security event" if isinstance(event, SecurityEvent) else "business event"
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        record = {"timestamp": now, "event": kind, **event._asdict(), **who, **context.ids()}
        audit(as_json({**{key: redact(value, key) for key, value in record.items() if value is not None}, **ids}))

    return write


logger = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""A full disk may have room again: the service starts."""
STOP_TIMEOUT = 5.0
"""Seconds that the stop of the service waits for a disk that does not answer."""


class LogWriter:
    """The files, and the two threads that write and rotate them."""

    def __init__(self, settings: LogFilesSettings) -> None:
        self.directory = settings.directory.absolute()
        self.trouble = ""
        """The error of the last batch of a file."""
        self.files: Mapping[str, LogFile] = {
            stream: LogFile(self.directory / f"{stream}.log", size=settings.size(stream), backlog=settings.backlog)
            for stream in settings.names
        }
        self._backlog = settings.backlog
        self._pause = settings.flush_interval
        self._tidying = Tidying(self.directory, {stream: settings.days(stream) for stream in settings.names})
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log files: writing", daemon=True)

    def start(self) -> None:
        """Open the files, or raise `ConfigurationInvalid`. A full disk does not stop the start."""
        try:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            if not os.access(self.directory, os.W_OK | os.X_OK):  # else files could not be rotated
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.directory))
            for file in self.files.values():
                file.open()
        except OSError as error:
            if error.errno not in FULL:
                raise ConfigurationInvalid(
                    f"LOG_FILES__DIRECTORY: cannot write {error.filename} ({error.strerror}): "
                    "name a folder that this user can write"
                ) from error
        self._thread.start()
        self._tidying.start()

    def close(self) -> None:
        """Write the rest, and stop."""
        self._closed.set()
        self._thread.join(STOP_TIMEOUT)
        self._tidying.close(STOP_TIMEOUT)

    def flush(self) -> None:
        """Write the batch of each file. A failure is logged once, and repeated until it succeeds."""
        trouble = ""
        for file in self.files.values():
            try:
                if file.flush():
                    self._tidying.wake()
            except OSError as error:
                trouble = f"{file.path}: {error.strerror}"
        if trouble and not self.trouble:
            logger.error("log files cannot be written (%s): %d lines of each wait for it", trouble, self._backlog)
        elif not trouble:
            lost = sum(file.lost for file in self.files.values())
            if self.trouble or lost:
                logger.warning("log files are written again: %d lines are lost", lost)
            for file in self.files.values():
                file.lost = 0
        self.trouble = trouble

    def _run(self) -> None:
        while not self._closed.wait(self._pause):
            self.flush()
        self.flush()
        for file in self.files.values():
            file.close()
