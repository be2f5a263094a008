"""The settings of the audit log."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group, ProjectPath, Secret


class AuditSettings(Group):
    """The file of the records, and their seal."""

    group: ClassVar[str] = "audit"
    path: ProjectPath = Field(Path("var/audit.jsonl"), description="The file of the audit log.")
    key: Secret | None = Field(None, description="The key that signs the records; without it the file can be replaced.")
    flush_interval: float = Field(0.2, gt=0, description="Seconds between two writes.")
    backlog: int = Field(10_000, ge=1, description="Records that wait in memory while the file is not writable.")
    required: bool = Field(default=False, description="Not ready while records cannot be written.")
    leave_out: CommaSeparated = Field((), description="Names of events that are not recorded.")

    @property
    def sealing_key(self) -> bytes:
        return self.key.get_secret_value().encode() if self.key else b""
