"""The report of a template update for the owner of the service."""

import re
from dataclasses import dataclass, field

Version = tuple[int, ...]


@dataclass(kw_only=True)
class Update:
    """The result of an update."""

    old: str
    new: str
    conflicts: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    stale: str = ""
    notes: str = ""

    @property
    def unsettled(self) -> int:
        """Return how many things a person has to settle."""
        return len(self.conflicts) + len(self.lost) + bool(self.stale)

    def title(self) -> str:
        """One line."""
        return f"Take the template's {self.new}" + (f": {self.unsettled} to settle" if self.unsettled else "")

    def report(self, base: str) -> str:
        """Markdown. `base` is the commit that has what was lost."""
        parts = [f"From {self.old} to {self.new}."]
        if self.conflicts:
            parts += ["## Conflicts", "Both sides changed these; `make check` fails until no marker is left:"]
            parts += ["\n".join(f"- `{path}`" for path in self.conflicts)]
        if self.lost:
            parts += ["## Deleted, although you had edited them", "Merging drops your edits. To restore a file:"]
            parts += ["\n".join(f"- `git checkout {base} -- {path}`" for path in self.lost)]
        if self.deleted:
            parts += ["## Deleted", "\n".join(f"- `{path}`" for path in self.deleted)]
        if self.stale:
            parts += ["## uv.lock is the old one", f"`uv lock` on this branch refreshes it. It failed: {self.stale}"]
        if self.notes:
            parts += ["## When you update", self.notes]
        return "\n\n".join(parts) + "\n"


def version(text: str) -> Version:
    """`v1.2.3` and `v1.2.3-4-gabc` as numbers that compare; a commit that follows no release is older than all."""
    found = re.match(r"v?(\d+(?:\.\d+)+)", text)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def notes(changelog: str, old: str, new: str, enabled: set[str]) -> str:
    """The paragraphs "When you update" of the releases after `old`, up to `new`.

    An item that begins with "With `option`" is left out if none of the options that it names is enabled.
    """
    found = []
    for release in re.finditer(r"^## \[?v?(\d[\w.]*).*\n((?:(?!## ).*\n?)*)", changelog, re.MULTILINE):
        section = re.search(r"^### When you update\n((?:(?!### ).*\n?)*)", release[2], re.MULTILINE)
        if not section or not version(old) < version(release[1]) <= version(new):
            continue
        text = re.sub(
            r"^- With ([^:]*):.*\n?(?: +.*\n?)*",
            lambda item: item[0] if enabled & set(re.findall(r"`(\w+)`", item[1])) else "",
            section[1],
            flags=re.MULTILINE,
        ).strip()
        if text:
            found.append(f"### {release[1]}\n\n{text}")
    return "\n\n".join(found)
