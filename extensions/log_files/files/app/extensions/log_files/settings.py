"""The settings of log files: their folder, sizes and ages."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from app.core.settings import Group, ProjectPath

STREAMS = ("app", "errors", "access", "performance", "audit")
"""The names of the files: `app.log` and so on."""


def _size(stream: str, default: int) -> Any:
    return Field(default, ge=1000, description=f"The size in bytes at which {stream}.log is rotated.")


def _days(stream: str, default: int) -> Any:
    return Field(default, ge=1, description=f"Days for which rotated files of {stream}.log are kept.")


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

    def size(self, stream: str) -> int:
        """Return the size in bytes at which a file is rotated."""
        return int(getattr(self, f"{stream}_size"))

    def days(self, stream: str) -> int:
        """Return the days for which rotated files are kept."""
        return int(getattr(self, f"{stream}_days"))
