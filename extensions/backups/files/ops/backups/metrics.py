"""The metrics of backups: a file in the text exposition format, for the textfile collector of node_exporter."""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

HELP = {
    "backup_last_run_timestamp_seconds": "When a command last ended.",
    "backup_last_status": "The exit status of a command when it last ended; docs/backups.md has their meaning.",
    "backup_last_success_timestamp_seconds": "When a command last did all that it had to.",
    "backup_size_bytes": "The size of the newest backup.",
    "backup_rows": "The rows in the newest backup.",
    "backup_duration_seconds": "How long a command took when it last succeeded.",
    "backup_copy_timestamp_seconds": "When a backup last arrived in a store.",
    "backup_disk_bytes": "The size of the disk that has the backups.",
    "backup_disk_available_bytes": "The free space of the disk that has the backups.",
    "backup_drill_restore_seconds": "How long the last restore drill took.",
    "backup_drill_loss_seconds": "How old the state was that the last restore drill restored.",
}
_LINE = re.compile(r"(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)")


class Metrics:
    """The file. What a run does not know stays as the one before has left it."""

    def __init__(self, path: Path, service: str) -> None:
        self.path = path
        self.service = service
        self.values: dict[tuple[str, str], float] = {}
        with suppress(OSError, ValueError):
            for line in _LINE.finditer(path.read_text()):
                self.values[line["name"], line["labels"]] = float(line["value"])

    def set(self, name: str, value: float, **labels: str) -> None:
        """Note a value."""
        self.values[name, _labels({"service": self.service, **labels})] = value

    def write(self) -> None:
        """Replace the file in one step, so that no reader sees half of it."""
        lines = []
        for name, about in HELP.items():
            found = [(labels, value) for (known, labels), value in self.values.items() if known == name]
            if found:
                lines += [f"# HELP {name} {about}", f"# TYPE {name} gauge"]
                lines += ["".join((name, "{", labels, "} ", repr(value))) for labels, value in sorted(found)]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            unfinished.write_text("".join(f"{line}\n" for line in lines))
            unfinished.chmod(0o644)  # the collector is another user
            unfinished.replace(self.path)
        finally:
            unfinished.unlink(missing_ok=True)


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in sorted(labels.items()))
