"""Generate services under git, update them with plain Copier (no trust, no prompts), and compare the results."""

import shutil
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from copier import VcsRef, run_copy, run_update
from copier._cli import CopierApp  # private: the command in this process
from plumbum import local

from tests.matrix.test_ownership import YOURS
from tests.releases import git
from tests.update.next_release import LATER

ANSWERS = ".copier-answers.yml"
File = tuple[bytes, bool]


def commit(service: Path) -> None:
    """Commit all that the owner did. Copier refuses a service with uncommitted changes."""
    git(service, "add", "--all")
    git(service, "commit", "--quiet", "--allow-empty", "--message", "Work")


def generate(template: Path, service: Path, version: str, answers: dict[str, Any]) -> Path:
    """A new service with its first commit."""
    run_copy(str(template), service, answers, vcs_ref=version, defaults=True, quiet=True, unsafe=False)
    git(service, "init", "--quiet", "--initial-branch=main")
    commit(service)
    return service


def update(service: Path, version: str | VcsRef = LATER, **answers: Any) -> Path:
    """Run `copier update --defaults --vcs-ref VERSION --data QUESTION=ANSWER...`, and return the service."""
    run_update(
        service,
        data=answers,
        vcs_ref=version,
        defaults=True,
        overwrite=True,
        quiet=True,
        unsafe=False,
        skip_tasks=False,
    )
    return service


def copier(service: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in the service's folder, in this process, where the templates are compiled already."""
    printed, errors = StringIO(), StringIO()
    with local.cwd(service), redirect_stdout(printed), redirect_stderr(errors):
        _, status = CopierApp.run(["copier", *arguments], exit=False)
    return subprocess.CompletedProcess(arguments, status, printed.getvalue(), errors.getvalue())


def copier_process(service: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, which reads the variables that a test sets."""
    command = [sys.executable, "-m", "copier", *arguments]
    return subprocess.run(command, cwd=service, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def files(root: Path) -> dict[str, File]:
    """Every file: its content, and whether it may be executed."""
    return {
        path.relative_to(root).as_posix(): (path.read_bytes(), bool(path.stat().st_mode & 0o100))
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def the_templates(root: Path) -> dict[str, File]:
    """The files that an update brings to the newer version, the shared and the answers file with them."""
    return {path: file for path, file in files(root).items() if not YOURS.fullmatch(path)}


def the_owners(root: Path) -> dict[str, File]:
    """The files that an update never opens."""
    return {path: file for path, file in files(root).items() if YOURS.fullmatch(path)}


def different(one: dict[str, File], other: dict[str, File]) -> list[str]:
    """The paths at which two trees differ."""
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))


def empty_folders(root: Path) -> list[str]:
    """Return the folders that an option leaves behind when its files are gone."""
    folders = [path for path in root.rglob("*") if path.is_dir() and ".git" not in path.relative_to(root).parts]
    return [path.relative_to(root).as_posix() for path in folders if not any(path.iterdir())]


def recorded(root: Path) -> dict[str, Any]:
    """The answers that a service was made from, without what Copier adds."""
    loaded = yaml.safe_load((root / ANSWERS).read_text())
    return {name: answer for name, answer in loaded.items() if not name.startswith("_")}


def conflicts(root: Path) -> list[str]:
    """The files that git calls unmerged."""
    return sorted(set(git(root, "diff", "--name-only", "--diff-filter=U").split()))


def duplicate(service: Path, target: Path) -> Path:
    """A service of one's own, to be edited."""
    shutil.copytree(service, target, symlinks=True)
    return target
