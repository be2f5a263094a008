"""The settings of the cache."""

from typing import Annotated, ClassVar

from pydantic import Field

from app.core.settings import Group, address


class RedisSettings(Group):
    """Where the server is, and how long anybody waits for it."""

    group: ClassVar[str] = "redis"
    url: Annotated[str | None, address({"redis", "rediss"}, "redis://host:6379/0")] = Field(
        None,
        repr=False,
        description="The server: redis://:password@host:6379/0; unset: no cache and no locks.",
    )
    namespace: str | None = Field(
        None,
        description="The prefix of all keys; unset: the service's name.",
    )
    timeout: float = Field(0.3, gt=0, description="Seconds for a connection or a command.")
    connections: int = Field(10, ge=1, description="The most connections of a process.")
    stale: float = Field(
        600.0, ge=0, description="Seconds for which an expired value is kept in case its loader fails."
    )
    loading_timeout: float = Field(10.0, gt=0, description="Seconds until another process loads too.")
