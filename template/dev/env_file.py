"""The settings file of this machine: `.env` is written from `.env.example`, and gets what an enabled option adds."""

import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from dotenv import dotenv_values

EXAMPLE, TARGET, UNFINISHED = Path(".env.example"), Path(".env"), Path(".env.new")
PLACEHOLDER = "change-me"
_LINE = re.compile(r"(?P<off>#\s*)?(?:export\s+)?(?P<name>\w+)\s*=\s*(?P<value>.*)")
_ONLY_WITHOUT = re.compile(r"^# Only without (\w+)\.$", re.MULTILINE)
"""The comment of a variable that excludes another one."""


def setup() -> int:
    """Write `.env` with random secrets, or add the variables that it lacks. Values, comments and their order stay.

    Returns:
        1 if the service refuses a value.
    """
    if not TARGET.exists():
        _write("".join(f"{_with_secret(line)}\n" for line in EXAMPLE.read_text(encoding="utf-8").splitlines()).encode())
        sys.stdout.write("wrote .env with secrets of its own\n")
        return 0
    added = missing()
    if added:
        content = TARGET.read_bytes()
        end = b"\r\n" if b"\r\n" in content else b"\n"
        lines = ["", *(_with_secret(line) for block in added.values() for line in block)]
        _write(content + b"".join(line.encode() + end for line in lines))
        sys.stdout.write(f".env: added {', '.join(added)}; to leave one unset, put # before it\n")
    return _review()


def missing() -> dict[str, list[str]]:
    """Return the variables that `.env` lacks, each with its lines of `.env.example`."""
    given = {*_set_in(TARGET), *os.environ}
    off = [line for line in map(_LINE.fullmatch, _lines(TARGET)) if line and line["off"]]
    unset = {(line["name"], line["value"].strip()) for line in off}
    found = {}
    for name, value, block in _examples():
        # A comment with the value of the example, or of any secret, is the owner's: one of an older example differs.
        declined = any(n == name and (v == value or PLACEHOLDER in value) for n, v in unset)
        excluded = any(other in given for other in _ONLY_WITHOUT.findall("\n".join(block)))
        if name not in given and not declined and not excluded:
            found[name] = block
    return found


def _examples() -> Iterator[tuple[str, str, list[str]]]:
    """Read the variables of the example: name, value, and the line with the comment directly above it."""
    comment: list[str] = []
    for line in _lines(EXAMPLE):
        variable = _LINE.fullmatch(line)
        if variable and not variable["off"]:
            yield variable["name"], variable["value"].strip(), [*comment, line]
        comment = [*comment, line] if line.startswith("#") and not variable else []


def _review() -> int:
    """Name what `.env` has for no enabled option, and what the service refuses. Returns the exit status."""
    # Not at the top: `make dev` reads `.env` before each start, and the service takes a second to import.
    from app.core.errors import ConfigurationInvalid
    from app.core.settings import load
    from app.main import SETTINGS

    written = _set_in(TARGET)
    groups = {group.group.upper() for group in SETTINGS}
    stale = [name for name in written if "__" in name and name.upper().partition("__")[0] not in groups]
    if stale:
        sys.stdout.write(f".env: no enabled option reads {', '.join(stale)}: delete what you need no more\n")
    try:
        load(SETTINGS)  # `load_settings` would start the servers
    except ConfigurationInvalid as error:
        names = {name.upper() for name in {*written} - {*stale}}
        refused = [line for line in error.mistakes if line.partition(":")[0].upper() in names]
        sys.stdout.write("".join(f".env: {line}; correct it, or delete its line\n" for line in refused))
        return 1 if refused else 0
    return 0


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _set_in(path: Path) -> Iterable[str]:
    return dotenv_values(path, interpolate=False)


def _with_secret(line: str) -> str:
    variable = _LINE.fullmatch(line)  # a sentence may speak of the placeholder
    return line.replace(PLACEHOLDER, secrets.token_urlsafe(32)) if variable else line


def _write(content: bytes) -> None:
    """Replace `.env` whole: killed in between, the old one is there still."""
    target = TARGET.resolve()  # a link stays a link
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    unfinished = target.with_name(UNFINISHED.name)
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    unfinished.replace(target)
