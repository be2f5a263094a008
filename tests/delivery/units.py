"""Units as systemd reads them: drop-ins laid over the unit, specifiers replaced, and what a process gets of it all."""

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Unit:
    """A unit with its drop-ins, of an instance if the name has one."""

    name: str
    entries: list[tuple[str, str]] = field(default_factory=list)

    @property
    def instance(self) -> str:
        """The part after the @."""
        return self.name.partition("@")[2].rpartition(".")[0]

    def all(self, key: str) -> list[str]:
        """Every value of a setting; an empty one begins the list anew, as systemd.unit(5) has it."""
        found: list[str] = []
        for name, value in self.entries:
            if name == key:
                found = [*found, value] if value else []
        return found

    def last(self, key: str, default: str = "") -> str:
        """The value that counts."""
        return (self.all(key) or [default])[-1]

    def seconds(self, key: str) -> float:
        """A time that is written as plain seconds."""
        return float(self.last(key, "90"))

    def environment(self, credentials: Path, mapped: Callable[[str], str]) -> dict[str, str]:
        """The variables of its processes, those of EnvironmentFile last."""
        found: dict[str, str] = {}
        for value in self.all("Environment"):
            for assignment in shlex.split(value):
                name, _, text = assignment.partition("=")
                found[name] = mapped(text.replace("%i", self.instance)).replace("%d", str(credentials))
        for value in self.all("EnvironmentFile"):
            path = Path(mapped(value.removeprefix("-")))
            if path.exists():
                lines = [line for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]
                found |= {line.partition("=")[0]: line.partition("=")[2].strip("'\"") for line in lines}
        return found

    def command(self, key: str, mapped: Callable[[str], str]) -> list[str]:
        """A command as words; empty where there is none."""
        words = shlex.split(mapped(self.last(key).replace("%i", self.instance)))
        return [word.replace("$$", "$") for word in words]

    def credentials(self) -> Iterator[tuple[str, str]]:
        """The name and the path of each credential that is handed over."""
        for value in self.all("LoadCredential"):
            name, _, path = value.partition(":")
            yield name, path


def read(folder: Path, name: str) -> Unit:
    """The unit of this name below `folder`, by its template where it is an instance."""
    template = f"{name.partition('@')[0]}@.{name.rpartition('.')[2]}" if "@" in name else name
    path = folder / template
    unit = Unit(name)
    dropped = folder / f"{template}.d"
    # Of a package's own unit, such as the proxy's, only our drop-ins are here.
    for file in [file for file in [path, *sorted(dropped.glob("*.conf"))] if file.exists()]:
        for line in file.read_text().splitlines():
            key, equals, value = line.partition("=")
            if equals and line[0] not in "#;[":
                unit.entries.append((key.strip(), value.strip()))
    return unit
