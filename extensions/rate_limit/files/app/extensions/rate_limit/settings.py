"""The settings of the rate limit."""

from typing import Annotated, ClassVar

from pydantic import Field

from app.core.data.redis_client import check_url
from app.core.settings import Group, Paths, address, taken_by

StorageUrl = Annotated[str | None, address({"redis", "rediss"}, "redis://host:6379/0"), taken_by(check_url)]


class RateLimitSettings(Group):
    """The limits of one client, and the storage of the counters."""

    group: ClassVar[str] = "rate_limit"
    enabled: bool | None = Field(None, description="Limit requests; unset: except in tests.")
    per_minute: int = Field(60, ge=1, description="Requests per client and minute.")
    per_hour: int = Field(1000, ge=1, description="Requests per client and hour.")
    exempt: Paths = Field(
        ("/health/live", "/health/ready", "/health/startup", "/metrics"),
        description="Paths that are not limited; `/internal/*` is all below it.",
    )
    clients: int = Field(50_000, ge=1, description="The most clients that a process counts.")
    storage_url: StorageUrl = Field(
        None,
        repr=False,
        description="A Redis server for all processes: redis://:password@host:6379/0.",
    )
    storage_timeout: float = Field(0.3, gt=0, description="Seconds until each process counts for itself.")
