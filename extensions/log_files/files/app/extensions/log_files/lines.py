"""Which line goes into which file."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from app.core import context
from app.core.observability.logging import as_json
from app.core.observability.redaction import redact
from app.core.telemetry import BusinessEvent, SecurityEvent

Append = Callable[[bytes], None]


def sorter(files: Mapping[str, Append]) -> Callable[[Mapping[str, Any], bytes], None]:
    """Takes each line of the service to its files."""
    app, errors, access, performance = (files[name] for name in ("app", "errors", "access", "performance"))

    def sort(record: Mapping[str, Any], line: bytes) -> None:
        if record.get("logger") == "access":
            access(line)
            if record["level"] == "warning":  # a slow request
                performance(line)
            return
        app(line)
        if record.get("level") in {"error", "critical"}:
            errors(line)
        if "duration" in record:
            performance(line)

    return sort


def auditor(audit: Append, *, service: str, version: str) -> Callable[[BusinessEvent | SecurityEvent], None]:
    """Writes an event with who caused it: by itself, since the level of the log may leave these lines out."""
    ids = {"service": service, "version": version, "process": os.getpid()}

    def write(event: BusinessEvent | SecurityEvent) -> None:
        request = context.current()
        who = {"principal": request.principal, "client": request.client} if request else {}
        kind = "security event" if isinstance(event, SecurityEvent) else "business event"
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        record = {"timestamp": now, "event": kind, **event._asdict(), **who, **context.ids()}
        audit(as_json({**{key: redact(value, key) for key, value in record.items() if value is not None}, **ids}))

    return write
