"""The settings of the audit log."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group, ProjectPath, Secret


class AuditSettings(Group):
    """The file of the records, and their seal."""

    group: ClassVar[str] = "audit"
    path: ProjectPath = Field(Path("var/audit.jsonl"), description="The file of the records.")
    key: Secret | None = Field(
        None, description="Seals the records; without it, anyone who can write to the file can forge all records."
    )
    flush_interval: float = Field(
        0.2, gt=0, description="Seconds for which records are collected before they are written."
    )
    backlog: int = Field(
        10_000, ge=1, description="The most records in memory while the file cannot be written; others go to the log."
    )
    required: bool = Field(default=False, description="Stop taking requests while records cannot be written.")
    leave_out: CommaSeparated = Field((), description="Names of events that are not recorded.")

    @property
    def sealing_key(self) -> bytes:
        """Return the key, or no bytes."""
        return self.key.get_secret_value().encode() if self.key else b""
