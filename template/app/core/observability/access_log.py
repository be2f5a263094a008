"""The access log: one record a request, written straight to the stream (through the logging pipe it costs 32 µs)."""

import os
import threading
from datetime import UTC, datetime

import orjson

from app.core.context import RequestContext
from app.core.observability.logging import LogSettings, Renderer, copies, hand_out, write


class AccessLog:
    """Writes the record of a finished request; a slow one is a warning."""

    def __init__(self, settings: LogSettings, renderer: Renderer) -> None:
        self.quiet = not settings.access or settings.level == "ERROR"
        self.warnings_only = settings.level == "WARNING"
        self.slow = settings.slow_request
        self.renderer = renderer
        self.process = os.getpid()

    def __call__(self, request: RequestContext, route: str, duration: float) -> None:
        """Write one line. A stream that takes none (disk full, reader gone) costs the record, not the request."""
        slow = duration >= self.slow
        if self.quiet or (self.warnings_only and not slow):
            return
        record = {
            "timestamp": datetime.now(UTC),
            "level": "warning" if slow else "info",
            "event": "slow request" if slow else "request",
            "logger": "access",
            "method": request.method,
            "route": route,
            "path": request.path,
            "status": request.status,
            "duration": round(duration, 6),
            "received": request.received,
            "sent": request.sent,
            "client": request.client,
            "principal": request.principal,
            "code": request.code,
            "correlation_id": request.correlation_id,
            "trace_id": request.trace_id,
            "process": self.process,
            "thread": threading.get_ident(),
            **self.renderer.fields,
        }
        if self.renderer.json or copies:
            line = orjson.dumps(record, option=orjson.OPT_UTC_Z)
            if copies:
                hand_out(record, line)
            if self.renderer.json:
                write(line.decode())
                return
        shown = {key: value for key, value in record.items() if value is not None and key not in self.renderer.fields}
        write(self.renderer.shown({**shown, "timestamp": f"{record['timestamp']:%Y-%m-%dT%H:%M:%S.%fZ}"}))
