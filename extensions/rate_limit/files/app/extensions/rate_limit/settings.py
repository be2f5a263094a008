"""The settings of the limits."""

from typing import Annotated, ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group, address


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
    storage_url: Annotated[str | None, address({"redis", "rediss"}, "redis://host:6379/0")] = Field(
        None,
        repr=False,
        description="Where all processes count together: redis://:password@host:6379/0; unset: each counts for itself.",
    )
    storage_timeout: float = Field(
        0.3, gt=0, description="Seconds in which the storage has to answer; after that each process counts for itself."
    )
