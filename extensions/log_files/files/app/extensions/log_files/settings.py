"""The settings of log files: their folder, sizes and ages."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, field_validator

from app.core.settings import Group, ProjectPath

STREAMS = ("app", "errors", "access", "performance", "audit")
"""The names of the files: `app.log` and so on."""


def _size(stream: str, default: int) -> Any:
    return Field(default, ge=1000, description=f"The size in bytes at which {stream}.log is rotated.")


def _days(stream: str, default: int) -> Any:
    return Field(default, ge=1, description=f"Days for which rotated files of {stream}.log are kept.")


class Stream(BaseModel):
    """A file for the lines of one logger and of those below it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    logger: str = Field(min_length=1)
    size: int = _size("the", 10_000_000)
    days: int = _days("the", 30)


class LogFilesSettings(Group):
    """The folder of the files, and their limits."""

    group: ClassVar[str] = "log_files"
    directory: ProjectPath = Field(Path("logs"), description="The folder of the files, created if it is missing.")
    flush_interval: float = Field(
        0.2, gt=0, le=10, description="Seconds for which lines are collected; `kill -9` loses the lines of this time."
    )
    backlog: int = Field(
        20_000, ge=1, description="The most lines of each file that wait while it cannot be written; others are lost."
    )
    app_size: int = _size("app", 10_000_000)
    app_days: int = _days("app", 30)
    errors_size: int = _size("errors", 5_000_000)
    errors_days: int = _days("errors", 90)
    access_size: int = _size("access", 50_000_000)
    access_days: int = _days("access", 30)
    performance_size: int = _size("performance", 10_000_000)
    performance_days: int = _days("performance", 14)
    audit_size: int = _size("audit", 10_000_000)
    audit_days: int = _days("audit", 365)

    streams: Mapping[str, Stream] = Field(
        default_factory=dict,
        description="Your own files: `LOG_FILES__STREAMS__BILLING__LOGGER=app.features.billing`, also `SIZE`, `DAYS`.",
    )

    @field_validator("streams")
    @classmethod
    def _are_new_files(cls, streams: Mapping[str, Stream]) -> Mapping[str, Stream]:
        if wrong := [name for name in streams if name in STREAMS or not re.fullmatch("[a-z]+", name)]:
            raise ValueError(f"has {', '.join(wrong)}: a file has a name of letters, other than {', '.join(STREAMS)}")
        return streams

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all files."""
        return *STREAMS, *self.streams

    def size(self, stream: str) -> int:
        """Return the size in bytes at which a file is rotated."""
        own = self.streams.get(stream)
        return own.size if own else int(getattr(self, f"{stream}_size"))

    def days(self, stream: str) -> int:
        """Return the days for which rotated files are kept."""
        own = self.streams.get(stream)
        return own.days if own else int(getattr(self, f"{stream}_days"))
