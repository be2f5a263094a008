"""Markdown as something to follow: its files, commands, links, anchors and tables."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w-]*)\n(?P<content>.*?)^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_PATH = re.compile(r"^`(?P<path>[^`]+)`:\s*\Z", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block. `path` is the file that it holds, where the line before it is that path in backquotes."""

    language: str
    content: str
    path: str | None = None

    @property
    def commands(self) -> list[str]:
        """Return the commands for a shell, line by line; lines that end with a backslash go on."""
        joined = re.sub(r"\\\n\s*", "", self.content)
        lines = [re.sub(r"\s+# .*", "", line).strip() for line in joined.splitlines()]
        return [line for line in lines if line and not line.startswith("#")]


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks, in order."""
    for found in _FENCE.finditer(text):
        path = _PATH.search(text[: found.start()].rstrip("\n"))
        content = dedent(found["content"]) if found["indent"] else found["content"]
        yield Block(language=found["language"], content=content, path=path["path"] if path else None)


def commands(text: str) -> list[str]:
    """Every line of every `sh` block that is no file."""
    return [
        command for block in blocks(text) if block.language == "sh" and not block.path for command in block.commands
    ]


def prose(text: str) -> str:
    """The text without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """The targets of all links."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))


def headings(text: str) -> list[str]:
    """Return the headings, in order."""
    return re.findall(r"^#{1,6} (.+)$", prose(text), re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that a link may point to: the headings, as GitHub and most others make anchors of them."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in headings(text)}


def rows(text: str, heading: str) -> list[list[str]]:
    """The rows of each table whose header begins with this cell, cells as they are written."""
    found: list[list[str]] = []
    inside = False
    for line in prose(text).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] if line.startswith("|") else []
        if not cells:
            inside = False
        elif cells[0] == heading:
            inside = True
        elif inside and set(cells[0]) - set("-: "):
            found.append(cells)
    return found


def entries(text: str) -> list[list[str]]:
    """Return each line of a reference: the name as it is written, what is in parentheses after it, and any meaning."""
    return [list(found) for found in re.findall(r"^- (`[^`\n]+`) \((.*?)\)(?:: (.+))?$", prose(text), re.MULTILINE)]


def section(text: str, heading: str) -> str:
    """Return what is below a heading of the second level, up to the next one."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def failures(text: str) -> list[str]:
    """Return the failures that a page lists: the bold beginnings of the lines of its section about them."""
    below = section(text, "Failures") + section(text, "When it fails")
    starts = re.findall(r"^- (\*\*.+?\*\*): ", below, re.MULTILINE)
    return [name for start in starts for name in re.findall(r"\*\*(.+?)\*\*", start)]


def write(root: Path, block: Block) -> None:
    """Put a block into its file."""
    assert block.path
    target = root / block.path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(block.content, encoding="utf-8")
