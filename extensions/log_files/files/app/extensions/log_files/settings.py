"""The settings of log files: where they are, and how large and how old each of them grows."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from app.core.settings import Group, ProjectPath

STREAMS = ("app", "errors", "access", "performance", "audit")
"""Each is a file, `app.log` and so on."""


def _size(stream: str, default: int) -> Any:
    return Field(default, ge=1000, description=f"Bytes from which on {stream}.log is set aside.")


def _days(stream: str, default: int) -> Any:
    return Field(default, ge=1, description=f"Days for which what was set aside of {stream}.log is kept.")


class LogFilesSettings(Group):
    """Where the files are, and what is kept of them."""

    group: ClassVar[str] = "log_files"
    directory: ProjectPath = Field(Path("logs"), description="The folder of the files, made where it is missing.")
    flush_interval: float = Field(
        0.2, gt=0, le=10, description="Seconds for which lines are gathered: `kill -9` loses as many of them."
    )
    backlog: int = Field(
        20_000, ge=1, description="Lines that each file waits with while it cannot be written; those beyond are lost."
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
        """Bytes from which on a file is set aside."""
        return int(getattr(self, f"{stream}_size"))

    def days(self, stream: str) -> int:
        """Days for which a file that was set aside is kept."""
        return int(getattr(self, f"{stream}_days"))
