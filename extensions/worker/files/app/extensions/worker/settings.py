"""The settings of background jobs."""

import re
from typing import Annotated, ClassVar

from pydantic import Field

from app.core.data.engine import DatabaseSettings
from app.core.settings import Group, Settings, address

SCHEMES = {"redis", "rediss", "postgres", "postgresql"}
EXAMPLES = "redis://host:6379/0 or postgresql://host/name"


class WorkerSettings(Group):
    """Where jobs wait, and how a worker carries them out."""

    group: ClassVar[str] = "worker"
    url: Annotated[str | None, address(SCHEMES, EXAMPLES)] = Field(
        None,
        repr=False,
        description="The queue: redis://:password@host:6379/0 or postgresql://user:password@host:5432/name; "
        "unset: the service's PostgreSQL.",
    )
    queue: str | None = Field(None, description="The name of the queue; unset: the service's.")
    concurrency: int = Field(10, ge=1, description="Parallel jobs of a worker.")
    heartbeat: int = Field(30, ge=2, description="Seconds of silence until the jobs of a worker are repeated.")
    shutdown_timeout: int = Field(25, ge=0, description="Seconds that jobs have to finish on a stop.")
    keep_failed: int = Field(604_800, ge=1, description="Seconds for which a failed job is kept.")


def own_database(settings: Settings) -> str | None:
    """The URL of the service's database as libpq reads it, where jobs can wait in it."""
    scheme, _, rest = settings.of(DatabaseSettings).url.partition("://")
    if not scheme.startswith("postgres"):
        return None
    return "postgresql://" + re.sub("([?&])ssl=", r"\1sslmode=", rest)
