"""The access log: one record for each request."""

from app.core.context import RequestContext
from app.core.observability.logging import LogSettings, write_record


class AccessLog:
    """Writes the record of a finished request; a slow one is a warning."""

    def __init__(self, settings: LogSettings) -> None:
        self.quiet = not settings.access or settings.level == "ERROR"
        self.warnings_only = settings.level == "WARNING"
        self.slow = settings.slow_request

    def __call__(self, request: RequestContext, route: str, duration: float) -> None:
        slow = duration >= self.slow
        if self.quiet or (self.warnings_only and not slow):
            return
        record = {
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
        }
        write_record("warning" if slow else "info", "access", "slow request" if slow else "request", record)
