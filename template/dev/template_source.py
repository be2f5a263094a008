"""The template of this service: its address and its releases."""

import os
import re
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

ANSWERS = ".copier-answers.yml"
SHORT = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/", "git+": ""}
"""Copier's short forms of addresses, which git does not know."""
CANNOT_START, TEMPLATE_FAILED = 2, 3
PINNED = {
    "apply.whitespace": "nowarn",
    "status.showUntrackedFiles": "normal",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fileMode": "true",
    "core.ignoreStat": "false",
    "core.bigFileThreshold": "512m",
}
"""Settings of git with which Copier keeps your edits and adds its new files. With other values it drops them."""


class Stopped(Exception):
    """Why no branch was made, in one line, and the exit status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def pinned() -> dict[str, str]:
    """The variables that pin git's settings for Copier too, after those that are set in this way already."""
    given = os.environ.get("GIT_CONFIG_COUNT", "")
    first = int(given) if given.isdigit() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(PINNED)), "GIT_TEMPLATE_DIR": ""}  # its info/ hides files as well
    for number, (name, value) in enumerate(PINNED.items(), first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it says."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", **pinned(), **variables}
    environment.pop("UV_LOCKED", None)  # here the lock file is to change
    environment.pop("GIT_CONFIG_PARAMETERS", None)  # of `git -c`, which goes before what is pinned
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise Stopped(CANNOT_START, f"{command[0]} is missing: `make template-update` brings it") from None


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Why a command failed: what git calls fatal, or the last line."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    fatal = [line for line in lines if line.startswith("fatal: ")]
    return [f"exit status {done.returncode}", *lines[-1:], *fatal[:1]][-1]


def git(folder: Path, *arguments: str) -> str:
    """Return the output of git."""
    done = run(folder, "git", *arguments)
    if done.returncode:
        raise Stopped(CANNOT_START, f"git {arguments[0]}: {said(done)}")
    return done.stdout.strip()


def recorded(folder: Path, name: str) -> str:
    """Return a value of the answers file."""
    path = folder / ANSWERS
    found = re.search(rf"^{name}: (.+)$", path.read_text(encoding="utf-8") if path.exists() else "", re.MULTILINE)
    if not found:
        raise Stopped(CANNOT_START, f"{ANSWERS} names no {name}: an update is impossible")
    return found[1].strip("'\"")


def address(folder: Path) -> str:
    """Return the address of the template for git."""
    source = recorded(folder, "_src_path")
    for short, long in SHORT.items():
        source = long + source.removeprefix(short) if source.startswith(short) else source
    return source


def version(text: str) -> tuple[int, ...]:
    """`v1.2.3` and `v1.2.3-4-gabc` as numbers that compare; a commit that follows no release is older than all."""
    found = re.match(r"v?(\d+(?:\.\d+)+)", text)
    return tuple(int(number) for number in found[1].split(".")) if found else ()


def newest(folder: Path) -> str:
    """The tag of the template's newest release."""
    listed = run(folder, "git", "ls-remote", "--tags", "--refs", address(folder))
    if listed.returncode:
        raise Stopped(TEMPLATE_FAILED, f"the template at {address(folder)} cannot be reached: {said(listed)}")
    tags = re.findall(r"refs/tags/(v?\d+(?:\.\d+)+)$", listed.stdout, re.MULTILINE)
    if not tags:
        raise Stopped(TEMPLATE_FAILED, f"the template at {address(folder)} has no release")
    return str(max(tags, key=version))


def changelog(tree: Path, tag: str) -> str:
    """The template's own, or nothing."""
    with TemporaryDirectory(prefix="template-") as place:
        clone = run(tree, "git", "clone", "--quiet", "--bare", "--filter=blob:none", address(tree), place)
        shown = run(Path(place), "git", "show", f"{tag}:CHANGELOG.md")
        return shown.stdout if not clone.returncode + shown.returncode else ""
