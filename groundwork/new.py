"""Generates a service: completely, with its first commit, or not at all."""

import shutil
import subprocess
import sys
import tempfile
import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from copier import run_copy

from groundwork.errors import Refused, refusing
from groundwork.prompts import progress, replaceable_defaults
from groundwork.source import recordable

ANSWERS = ".copier-answers.yml"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A generated service: its path, and the version of the template."""

    path: Path
    version: str


def new(
    destination: Path | None,
    *,
    template: str,
    ref: str | None = None,
    folder: Path,
    data: dict[str, Any],
    defaults: bool = False,
    repository: bool = True,
) -> Made:
    """Ask the questions and write a service to `destination`, by default to one named for it in `folder`.

    The service is rendered to a temporary folder beside the destination and moved from there.

    Raises:
        Refused: nothing was written.
    """
    if destination:
        _must_be_free(destination)
        folder = destination.absolute().parent
    template, ref = recordable(template, ref)
    anchor = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    with refusing(), tempfile.TemporaryDirectory(prefix=".groundwork-", dir=anchor) as temporary:
        rendered = Path(temporary, "service")
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.simplefilter("ignore")  # a shallow clone and Copier's own plans are not this user's concern
            stack.enter_context(replaceable_defaults())
            stack.enter_context(progress(rendered))
            run_copy(template, rendered, data, vcs_ref=ref, defaults=defaults, quiet=True, unsafe=False)
        answers = yaml.safe_load((rendered / ANSWERS).read_text(encoding="utf-8"))
        destination = destination or folder / answers["project_slug"]
        _must_be_free(destination)
        if repository:
            _first_commit(rendered, name=answers["project_slug"], version=answers["_commit"])
        destination.mkdir(parents=True, exist_ok=True)
        for child in rendered.iterdir():
            shutil.move(child, destination / child.name)
    return Made(path=destination, version=str(answers["_commit"]))


def _must_be_free(destination: Path) -> None:
    if destination.exists() and not destination.is_dir():
        raise Refused(f"{destination} is a file: give the path of a new folder")
    if destination.is_dir() and any(destination.iterdir()):
        raise Refused(f"{destination} is not empty: give the path of a new folder")


def _first_commit(folder: Path, *, name: str, version: str) -> None:
    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)

    # A machine without a git identity still gets its first commit.
    known = git("var", "GIT_AUTHOR_IDENT").returncode == 0 and git("var", "GIT_COMMITTER_IDENT").returncode == 0
    identity = [] if known else ["-c", f"user.name={name}", "-c", f"user.email={name}@localhost"]
    message = f"Start {name} from Groundwork {version}"
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        [*identity, "-c", "commit.gpgsign=false", "commit", "--quiet", "--no-verify", f"--message={message}"],
    ):
        done = git(*arguments)
        if done.returncode:
            sys.stderr.write(f"groundwork: no first commit, git says: {' '.join(done.stderr.split())}\n")
            return
