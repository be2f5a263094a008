"""What a call to another service ends with when it does not succeed."""

from app.core.errors import ExternalServiceFailed


class CallFailed(ExternalServiceFailed):
    """A called service failed, or took too long."""

    def __init__(self, service: str, reason: str, *, retry_after: float | None = None) -> None:
        super().__init__(headers={"Retry-After": str(max(1, round(retry_after)))} if retry_after is not None else {})
        self.service = service
        self.reason = reason
        """A status code or the name of an error: for logs, never with what was sent."""


class CircuitOpen(CallFailed):
    """A called service failed repeatedly, so no calls are sent."""


class CallsExhausted(CallFailed):
    """Too many parallel calls to one service."""
