"""The template with its history: a clone with the tags of `releases.toml`, and the working tree as the next version."""

import shutil
import subprocess
import tomllib
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
NEXT = "v999.0.0"
"""The working tree's version, newer than every release."""


def git(folder: Path, *arguments: str) -> str:
    """Return the output of git, run in `folder` with a fixed identity."""
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def releases() -> dict[str, str]:
    """Each released version and its commit, oldest first."""
    listed: dict[str, str] = tomllib.loads((REPOSITORY / "tests" / "releases.toml").read_text()).get("releases", {})
    return listed


def with_history(target: Path) -> Path:
    """Clone this checkout to `target`, tag its releases, and commit the working tree on top as `NEXT`."""
    git(REPOSITORY, "clone", "--quiet", "--no-tags", "--shared", str(REPOSITORY), str(target))
    for version, commit in releases().items():
        there = subprocess.run(["git", "-C", target, "cat-file", "-e", commit], capture_output=True, check=False)
        assert not there.returncode, f"v{version} ({commit}) is not in this clone: git fetch --unshallow"
        git(target, "tag", f"v{version}", commit)
    overlay(target)
    release(target, NEXT)
    return target


def overlay(target: Path) -> None:
    """Put the working tree of this checkout, uncommitted changes too, in place of the clone's."""
    for path in target.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    listed = git(REPOSITORY, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        if (source := REPOSITORY / name).is_file():  # a deleted file is listed until the deletion is committed
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def release(target: Path, version: str) -> None:
    """Commit what was changed in the template at `target`, and tag it."""
    git(target, "add", "--all")
    git(target, "commit", "--quiet", "--allow-empty", "--message", version)
    git(target, "tag", version)
