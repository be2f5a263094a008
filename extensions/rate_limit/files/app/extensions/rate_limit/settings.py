"""The settings of the limits."""

from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from app.core.settings import CommaSeparated, Group


class RateLimitSettings(Group):
    """How often one client may call, and where that is counted."""

    group: ClassVar[str] = "rate_limit"
    enabled: bool | None = Field(None, description="Whether requests are counted; unset: everywhere but in tests.")
    per_minute: int = Field(60, ge=1, description="Requests that a client, or a key, may send in a minute.")
    per_hour: int = Field(1000, ge=1, description="Requests that a client, or a key, may send in an hour.")
    exempt: CommaSeparated = Field(
        ("/health", "/metrics"), description="Paths that are not counted, with all below them."
    )
    clients: int = Field(
        50_000, ge=1, description="Clients that a process counts at most; the oldest are forgotten first."
    )
    storage_url: str | None = Field(
        None,
        repr=False,
        description="Where all processes count together: redis://:password@host:6379/0; unset: each counts for itself.",
    )
    storage_timeout: float = Field(
        0.3, gt=0, description="Seconds in which the storage has to answer; after that each process counts for itself."
    )

    @field_validator("storage_url")
    @classmethod
    def _speaks_redis(cls, url: str | None) -> str | None:
        try:
            parts = urlsplit(url or "")
            right = not url or (parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0)
        except ValueError:
            right = False
        if not right:
            raise ValueError("has to look like redis://:password@host:6379/0")
        return url or None
