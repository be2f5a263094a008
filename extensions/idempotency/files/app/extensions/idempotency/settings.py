"""The settings of idempotency keys."""

from typing import ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group


class IdempotencySettings(Group):
    """Where keys are heeded, and what is kept for how long."""

    group: ClassVar[str] = "idempotency"
    paths: CommaSeparated = Field(
        ("/api",), description="Paths below which an Idempotency-Key is heeded; empty: nowhere."
    )
    headers: CommaSeparated = Field(
        (), description="Further request headers that count, such as the one that names a tenant."
    )
    keep: float = Field(86_400.0, gt=0, description="Seconds for which an answer is given again.")
    lease: float = Field(
        60.0, gt=0, description="Seconds after which a request that was never answered may be tried again."
    )
    answer_limit: int = Field(262_144, ge=0, description="The largest body in bytes of an answer that is kept.")
    cleanup_interval: float = Field(600.0, gt=0, description="Seconds between two removals of what is over.")
