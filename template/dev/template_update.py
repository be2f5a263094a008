"""`python -m dev.template_update` takes the newest template on a branch of its own, and says what needs a look."""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

ANSWERS = ".copier-answers.yml"
SHORT = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/", "git+": ""}
"""Copier's short forms of addresses, which git does not know."""
NEEDS_A_LOOK, CANNOT_START, TEMPLATE_FAILED = 1, 2, 3
PINNED = {
    "apply.whitespace": "nowarn",
    "status.showUntrackedFiles": "normal",
    "core.attributesFile": os.devnull,
    "core.excludesFile": os.devnull,
    "core.fileMode": "true",
    "core.ignoreStat": "false",
    "core.bigFileThreshold": "512m",
    "protocol.ext.allow": "never",
}
"""Settings of git with which Copier keeps your edits, adds its new files, and takes no address for a command."""
MARKERS = "^(<{7}|>{7})( |$)"
PASSED_ON = re.compile(
    r"(?![^=]*(TOKEN|PASSWORD|SECRET|CREDENTIAL|PUBLISH))(?!.*://[^/]*@)"
    r"(PATH|HOME|USER|LOGNAME|EMAIL|LANG|LC_\w+|TZ|TMPDIR|TEMP|TMP|TERM|XDG_\w+|PYENV\w*|PYTHON\w*|VIRTUAL_ENV|SYSTEMROOT|UV"
    r"|UV_\w+|SSL_CERT_\w+|\w+_CA_BUNDLE|(HTTPS?|ALL|NO)_PROXY|GIT_(AUTHOR_\w+|COMMITTER_\w+|CONFIG_\w*(GLOBAL|SYSTEM)))=.*",
    re.IGNORECASE | re.DOTALL,
)
"""The variables of what runs beside files of the new release: its code, as `uv lock` runs it, may reach no token."""


class Stopped(Exception):
    """The reason why no branch was made, in one line, and the exit status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def pinned(given: str, settings: dict[str, str]) -> dict[str, str]:
    """Return the variables that pin git's settings for Copier too, after as many as are given already."""
    first = int(given) if given.isdigit() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(settings)), "GIT_TEMPLATE_DIR": ""}  # its info/ hides files too
    for number, (name, value) in enumerate(settings.items(), first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def run(folder: Path, *command: str, mirror: tuple[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it says. Git gets all variables to fetch, and takes `mirror` for an address."""
    fetches, given = command[1] in {"ls-remote", "clone"}, os.environ.items()
    environment = {name: value for name, value in given if fetches or PASSED_ON.fullmatch(f"{name}={value}")}
    environment["GIT_TERMINAL_PROMPT"] = "0"
    settings = PINNED | ({f"url.{mirror[1]}.insteadOf": mirror[0]} if mirror else {})
    environment |= pinned(environment.get("GIT_CONFIG_COUNT", ""), settings)
    environment.pop("UV_LOCKED", None)  # here the lock file is to change
    environment.pop("GIT_CONFIG_PARAMETERS", None)  # of `git -c`, which goes before what is pinned
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    except FileNotFoundError:
        raise Stopped(CANNOT_START, f"{command[0]} is missing: `make template-update` brings it") from None


def said(done: subprocess.CompletedProcess[str]) -> str:
    """Return why a command failed: what git calls fatal, or the last line."""
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
    value = found[1].strip("'\"")
    if re.match(r"(git\+|g[hl]:)?\s*-", value) or not value.isprintable():
        raise Stopped(CANNOT_START, f"{ANSWERS}: {name} is {value!r}, which git would take for an option")
    return value


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
    listed = run(folder, "git", "ls-remote", "--tags", "--refs", "--", address(folder))
    if listed.returncode:
        raise Stopped(TEMPLATE_FAILED, f"the template at {address(folder)} cannot be reached: {said(listed)}")
    tags = re.findall(r"refs/tags/(v?\d+(?:\.\d+)+)$", listed.stdout, re.MULTILINE)
    if not tags:
        raise Stopped(TEMPLATE_FAILED, f"the template at {address(folder)} has no release")
    return str(max(tags, key=version))


@contextmanager
def fetched(folder: Path) -> Iterator[Path]:
    """Clone the template by git, so that Copier needs no credentials."""
    with TemporaryDirectory(prefix="template-") as place:
        mirror = Path(place, "template")  # git finds template.git, whether an address has this ending or not
        git(folder, "clone", "--quiet", "--mirror", "--", address(folder), f"{mirror}.git")
        yield mirror


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
        """Return the title of the pull request."""
        return f"Take the template's {self.new}" + (f": {self.unsettled} to settle" if self.unsettled else "")

    def report(self, base: str) -> str:
        """Return the report as Markdown. `base` is the commit that has what was lost."""
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


def copier(folder: Path, mirror: Path, *arguments: str) -> None:
    """Render or update."""
    done = run(folder, "copier", *arguments, mirror=(address(folder), str(mirror)))
    if done.returncode:
        raise Stopped(TEMPLATE_FAILED, f"the template at {recorded(folder, '_src_path')} cannot be used: {said(done)}")


def made_before(folder: Path, branch: str, *, bundle: bool) -> bool:
    """Return whether the branch exists here, or in the remote; of a bundle, the step that pushes it asks the remote."""
    if run(folder, "git", "rev-parse", "--quiet", "--verify", f"refs/heads/{branch}").returncode == 0:
        return True
    if bundle or "origin" not in git(folder, "remote").split():
        return False
    return bool(git(folder, "ls-remote", "--heads", "origin", f"refs/heads/{branch}"))


@contextmanager
def second_checkout(folder: Path) -> Iterator[Path]:
    """The last commit in a place of its own: in the first checkout nothing is touched, committed or not."""
    with TemporaryDirectory(prefix="template-update-") as place:
        tree = Path(place, "tree")
        git(folder, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
        try:
            yield tree
        finally:
            git(folder, "worktree", "remove", "--force", str(tree))


def take(tree: Path, mirror: Path, new: str) -> Update:
    """Update the checkout, and find out what became of its owner's edits."""
    old, answers = recorded(tree, "_commit"), (tree / ANSWERS).read_text(encoding="utf-8")
    # With whole files for context, an edit never lands in a neighbour that looks alike.
    copier(tree, mirror, "update", "--defaults", "--quiet", f"--vcs-ref={new}", "--context-lines=100000")
    update = Update(old=old, new=new)
    unmerged = git(tree, "diff", "--name-only", "--diff-filter=U").splitlines()
    git(tree, "add", "--all")
    changed = git(tree, "diff", "--cached", "--name-only", "--diff-filter=d", "HEAD").splitlines()
    marked = run(tree, "git", "grep", "--cached", "-lIE", MARKERS, "--", *changed).stdout.splitlines()
    update.conflicts = sorted({*unmerged, *marked})
    gone = git(tree, "diff", "--cached", "--name-only", "--no-renames", "--diff-filter=D", "HEAD").splitlines()
    if gone:
        update.lost = edited(tree, mirror, gone, old, answers)
        update.deleted = sorted(set(gone) - set(update.lost))
    shown = run(Path(f"{mirror}.git"), "git", "show", f"{new}:CHANGELOG.md")
    update.notes = notes(shown.stdout, old, update.new, set(re.findall(r"^[\w: -]*?(\w+)$", answers, re.M)))
    if "pyproject.toml" in changed and "pyproject.toml" not in update.conflicts and (tree / "uv.lock").exists():
        locked = run(tree, os.environ.get("UV", "uv"), "lock", "--quiet")
        update.stale = said(locked) if locked.returncode else ""
        git(tree, "add", "uv.lock")
    return update


def edited(tree: Path, mirror: Path, paths: list[str], old: str, answers: str) -> list[str]:
    """Those of the files that are not as the old version of the template had rendered them."""
    with TemporaryDirectory(prefix="template-old-") as place:
        pure, given = Path(place, "pure"), Path(place, "answers.yml")
        given.write_text(answers, encoding="utf-8")
        source = recorded(tree, "_src_path")
        options = ("--defaults", "--quiet", f"--vcs-ref={old}", f"--data-file={given}")
        copier(tree, mirror, "copy", *options, source, str(pure))
        return [path for path in paths if not as_rendered(tree, path, pure / path)]


def as_rendered(tree: Path, path: str, rendered: Path) -> bool:
    """Return whether the last commit has the file as it was rendered."""
    if not rendered.is_file():
        return False
    return git(tree, "hash-object", f"--path={path}", str(rendered)) == git(tree, "rev-parse", f"HEAD:{path}")


def update(folder: Path, bundle: Path | None) -> int:
    """Make the branch, or a bundle of it for a step that pushes it. Returns the exit status."""
    old = recorded(folder, "_commit")
    new = newest(folder)
    if version(new) <= version(old):
        sys.stdout.write(f"nothing to do: {old} is the newest version of the template\n")
        return 0
    branch = f"template-update/{new}"
    if made_before(folder, branch, bundle=bool(bundle)):
        sys.stdout.write(f"nothing to do: the branch {branch} is there; delete it to have it made again\n")
        return 0
    base = git(folder, "rev-parse", "--short", "HEAD")
    with second_checkout(folder) as tree, fetched(folder) as mirror:
        done = take(tree, mirror, new)
        named = run(tree, "git", "var", "GIT_AUTHOR_IDENT").returncode == 0
        identity = [] if named else ["-c", "user.name=template-update", "-c", "user.email=template-update@localhost"]
        message = ["--message", done.title(), "--message", done.report(base)]
        git(tree, *identity, "commit", "--quiet", "--no-verify", "--cleanup=whitespace", *message)
        git(tree, "branch", branch)
    sys.stdout.write(f"{done.title()}\n\n{done.report(base)}\nbranch {branch}\n")
    if bundle:
        git(folder, "bundle", "create", "--quiet", str(bundle.absolute()), f"HEAD..{branch}")
        return 0
    return NEEDS_A_LOOK if done.unsettled else 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.template_update", description=__doc__)
    parser.add_argument("--bundle", metavar="FILE", type=Path, help="write the branch to a file too, for `git fetch`")
    try:
        return update(Path.cwd(), parser.parse_args().bundle)
    except Stopped as stopped:
        sys.stderr.write(f"template-update: {stopped}\n")
        return stopped.status


if __name__ == "__main__":
    sys.exit(main())
