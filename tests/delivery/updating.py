"""A small template with two versions, a service of it whose remote is a bare repository, and `gh` as a recorder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from copier import run_copy

from tests.live.environment import clean
from tests.releases import git, release

OLD, NEW = "v1.0.0", "v1.1.0"
BRANCH = "template-update/v1.1.0"
TOKEN = "a-token-that-only-the-last-step-has"  # noqa: S105  # of no account
FILES = {
    "copier.yml": """\
_subdirectory: template
parts: {type: yaml, default: [worker]}
""",
    "CHANGELOG.md": """\
# Changelog

## [1.0.0]

### When you update

No service can update to the first one.
""",
    "template/{{ _copier_conf.answers_file }}.jinja": "{{ _copier_answers | to_nice_yaml }}",
    "template/.gitignore": "__pycache__/\n",
    "template/changed.txt": "one\ntwo\nthree\n",
    "template/gone.txt": "first\nsecond\n",
    "template/pyproject.toml": '[project]\nname = "service"\nversion = "1"\nrequires-python = ">=3.11"\n',
}
NOTES = """\
# Changelog

## [1.1.0] - 2026-01-01

### Added

- Much.

### When you update

Run the migrations.

- With `redis`: flush it,
  all of it.
- With `worker` or `redis`: drain the queue
  first.
- Read the page.

"""
GH = """\
#!/bin/sh
printf '%s\\n' "$@" > "{log}"
while [ $# -gt 1 ]; do [ "$1" = --body-file ] && cp "$2" "{log}.body"; shift; done
exit {status}
"""


def template(target: Path) -> Path:
    """The template, at its first version."""
    for name, text in FILES.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(target, "init", "--quiet", "--initial-branch=main")
    release(target, OLD)
    return target


def improve(target: Path, *, goes: bool = False) -> None:
    """Make the second version: a file changes, one comes, one may go."""
    (target / "template" / "changed.txt").write_text("one\nTWO\nthree\n")
    (target / "template" / "new.txt").write_text("new\n")
    if goes:
        (target / "template" / "gone.txt").unlink()
    project = target / "template" / "pyproject.toml"
    project.write_text(project.read_text().replace('"1"', '"2"'))
    (target / "CHANGELOG.md").write_text(NOTES + FILES["CHANGELOG.md"].partition("\n\n")[2])
    release(target, NEW)


class Repository:
    """A service in a checkout, as a hosted runner has it: shallow, without a name for git, with a remote."""

    def __init__(self, place: Path, source: Path, tools: Path) -> None:
        self.place, self.root, self.remote = place, place / "service", place / "remote.git"
        work = place / "work"
        run_copy(str(source), work, vcs_ref=OLD, defaults=True, quiet=True, unsafe=False)
        for part in ("dev", "ops"):  # the service's own tools, as the provider's folder ships them
            shutil.copytree(tools / part, work / part)
        git(work, "init", "--quiet", "--initial-branch=main")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message", "Start")
        git(place, "clone", "--quiet", "--bare", str(work), str(self.remote))
        git(self.remote, "config", "receive.advertisePushOptions", "true")
        git(place, "clone", "--quiet", "--depth=1", f"file://{self.remote}", str(self.root))

    def commit(self, name: str, text: str) -> None:
        """An edit of the owner's, pushed."""
        (self.root / name).write_text(text)
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", f"Edit {name}")
        git(self.root, "push", "--quiet", "origin", "main")

    def update(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the tool, as in development."""
        return self._run(self.root, [sys.executable, "-m", "dev.template_update", *arguments], variables)

    def propose(self, *, gh: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run both jobs as the pipeline does: the second has the token, and a checkout of its own."""
        bundle, place = self.place / "update.bundle", self.place / "proposing"
        bundle.unlink(missing_ok=True)
        updated = self.update("--bundle", str(bundle), **variables)
        if updated.returncode or not bundle.exists():
            return updated
        shutil.rmtree(place, ignore_errors=True)
        git(self.place, "clone", "--quiet", "--depth=1", "--branch=main", f"file://{self.remote}", str(place))
        return self.push(place, bundle, gh=gh)

    def push(self, place: Path, bundle: Path, *, gh: int = 0) -> subprocess.CompletedProcess[str]:
        """Run the step that proposes, with every token. `gh` is the exit status of the program of that name."""
        url = f"file://{self.remote}".removesuffix(".git")
        tokens = {"GH_TOKEN": TOKEN, "TEMPLATE_UPDATE_TOKEN": TOKEN, "CI_DEFAULT_BRANCH": "main", "CI_PROJECT_URL": url}
        return self._run(place, ["ops/propose-update.sh", str(bundle)], tokens, gh=gh)

    def _run(
        self, folder: Path, command: list[str], variables: dict[str, str], *, gh: int = 0
    ) -> subprocess.CompletedProcess[str]:
        programs = self.place / "programs"
        programs.mkdir(exist_ok=True)
        (programs / "gh").write_text(GH.format(log=self.place / "gh.log", status=gh))
        (programs / "gh").chmod(0o755)
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        anonymous = {"HOME": str(self.place), "GIT_CONFIG_NOSYSTEM": "1", "EMAIL": "", "GIT_CONFIG_GLOBAL": os.devnull}
        return subprocess.run(
            command,
            cwd=folder,
            env={**clean(), **anonymous, "PATH": path, **variables},
            capture_output=True,
            text=True,
            check=False,
        )

    def branches(self, *, remote: bool = False) -> list[str]:
        """Every branch, here or in the remote."""
        listed = git(self.remote if remote else self.root, "branch", "--format=%(refname:short)").split()
        return sorted(listed)

    def shown(self, name: str) -> str:
        """A file of the branch in the remote."""
        return git(self.remote, "show", f"{BRANCH}:{name}")

    @property
    def asked(self) -> list[str]:
        """Return the calls of `gh`."""
        log = self.place / "gh.log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def body(self) -> str:
        """The pull request's text."""
        return (self.place / "gh.log.body").read_text()
