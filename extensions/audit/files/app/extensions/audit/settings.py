"""The settings of the audit trail."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from app.core.settings import CommaSeparated, Group, ProjectPath, Secret


class AuditSettings(Group):
    """Where the trail is, and how it is sealed."""

    group: ClassVar[str] = "audit"
    path: ProjectPath = Field(Path("var/audit.jsonl"), description="The file that records are added to.")
    key: Secret | None = Field(
        None, description="Seals the records; without it whoever can write to the file can make a whole new one."
    )
    flush_interval: float = Field(
        0.2, gt=0, description="Seconds for which records are gathered before they are written."
    )
    backlog: int = Field(
        10_000, ge=1, description="Records that wait in memory while the file takes none; the log has those beyond."
    )
    required: bool = Field(
        default=False, description="Whether the service stops taking requests while records cannot be written."
    )
    leave_out: CommaSeparated = Field((), description="Names of events that are not recorded.")

    @property
    def sealing_key(self) -> bytes:
        """The key, or nothing."""
        return self.key.get_secret_value().encode() if self.key else b""
