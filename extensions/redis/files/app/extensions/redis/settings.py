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
        description="Where the server is: redis://:password@host:6379/0; "
        "unset: nothing is cached, and nothing can be locked.",
    )
    namespace: str | None = Field(
        None,
        description="What the keys begin with; unset: the service's name. "
        "Services and environments that share a server need one each.",
    )
    timeout: float = Field(
        0.3, gt=0, description="Seconds in which a connection has to open, and a command to be answered."
    )
    connections: int = Field(10, ge=1, description="Connections that a process opens at most.")
    stale: float = Field(
        600.0, ge=0, description="Seconds beyond its time for which a value is kept, in case its loader fails."
    )
    loading_timeout: float = Field(
        10.0, gt=0, description="Seconds that one loader has before another process tries too."
    )
