"""The source of the template, which every service must be able to update from."""

import json
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from groundwork.errors import Refused


def checkout() -> Path | None:
    """Return the repository that this program runs from, or None if it is installed alone."""
    root = Path(__file__).resolve().parent.parent
    return root if (root / "copier.yml").is_file() else None


def default() -> str:
    """Return this checkout, or the source that the program was installed from (`uvx --from git+URL`, PEP 610).

    Raises:
        Refused: neither is known.
    """
    if root := checkout():
        return str(root)
    try:
        origin = json.loads(distribution("groundwork").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        origin = {}
    url = str(origin.get("url", ""))
    if not url:
        raise Refused("which template? Give its URL or path: groundwork new --template URL")
    return f"git+{url}" if "vcs_info" in origin and not url.endswith(".git") else _local(url)


def _local(url: str) -> str:
    return url2pathname(urlsplit(url).path) if url.startswith("file:") else url


def recordable(template: str, ref: str | None) -> tuple[str, str | None]:
    """Return the template and version for the answers file: an absolute path or URL, and a commit.

    A checkout gives the newest release that its HEAD has, or HEAD where it has no tags; a URL gives its newest release.
    A service from a newer commit could not be updated: Copier takes the release for a downgrade.

    Raises:
        Refused: git is missing, or the folder is no checkout, or has changes that no version holds.
    """
    if not shutil.which("git"):
        raise Refused(
            "git is not installed, and without it a service could never be updated: install git and try again"
        )
    path = Path(template).expanduser()
    if not path.is_dir():
        if ":" not in template:
            raise Refused(f"there is no template at {template}: give the path of a checkout, or a URL")
        return template, ref
    root = path.resolve()
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root:
        raise Refused(f"{root} is not a git checkout, and no service could be updated from it: clone it with git")
    if _git(root, "rev-parse", "--verify", "HEAD") is None:
        raise Refused(f"{root} has no commit yet, and no service could be updated from it: commit first")
    if changed := _git(root, "status", "--porcelain"):
        first = changed.splitlines()[0][3:]
        raise Refused(
            f"{root} has uncommitted changes ({first}), which no update could find again: commit or stash them"
        )
    return str(root), ref or _newest_release(root) or "HEAD"


def _newest_release(root: Path) -> str | None:
    tags = _git(root, "tag", "--merged=HEAD") or ""
    releases = [tag for tag in tags.splitlines() if re.fullmatch(r"v?\d+\.\d+\.\d+", tag)]
    return max(releases, key=lambda tag: [int(number) for number in tag.removeprefix("v").split(".")], default=None)


def _git(folder: Path, *arguments: str) -> str | None:
    found = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=False)
    return found.stdout.strip("\n") if found.returncode == 0 else None
