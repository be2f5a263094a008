"""The settings of idempotency keys."""

from typing import ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group


class IdempotencySettings(Group):
    """Where keys are heeded, and what is kept for how long."""

    group: ClassVar[str] = "idempotency"
    paths: CommaSeparated = Field(("/api",), description="Paths below which keys apply.")
    headers: CommaSeparated = Field((), description="More request headers that distinguish requests.")
    keep: float = Field(86_400.0, gt=0, description="Seconds for which a response is kept.")
    lease: float = Field(60.0, gt=0, description="Seconds until an unanswered request may be repeated.")
    answer_limit: int = Field(262_144, ge=0, description="The largest response body in bytes that is kept.")
    cleanup_interval: float = Field(600.0, gt=0, description="Seconds between two cleanups.")
