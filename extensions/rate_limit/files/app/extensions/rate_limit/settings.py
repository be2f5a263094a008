"""The settings of the rate limit."""

from typing import Annotated, ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group, address


class RateLimitSettings(Group):
    """The limits of one client, and the storage of the counters."""

    group: ClassVar[str] = "rate_limit"
    enabled: bool | None = Field(None, description="Count requests; unset: everywhere except in tests.")
    per_minute: int = Field(60, ge=1, description="Requests that a client, or a key, may send in a minute.")
    per_hour: int = Field(1000, ge=1, description="Requests that a client, or a key, may send in an hour.")
    exempt: CommaSeparated = Field(
        ("/health", "/metrics"), description="Paths that are not counted, with all paths below them."
    )
    clients: int = Field(
        50_000, ge=1, description="The most clients that a process counts; the oldest are forgotten first."
    )
    storage_url: Annotated[str | None, address({"redis", "rediss"}, "redis://host:6379/0")] = Field(
        None,
        repr=False,
        description="Where all processes count together: redis://:password@host:6379/0; unset: each counts for itself.",
    )
    storage_timeout: float = Field(
        0.3, gt=0, description="Seconds in which the storage has to answer; then each process counts for itself."
    )
