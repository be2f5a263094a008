"""`python -m dev.remove_feature NAME` removes a feature whole: code, tests, its place in the list, tables."""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic.config import Config
from alembic.script import ScriptDirectory

from app import features
from app.core.models import Base
from migrations.autogenerate import tables_of_revisions

LIST = Path("app/features/__init__.py")
README = Path("README.md")
VERSIONS = Path("migrations/versions")


class Refused(Exception):
    """The reason why nothing was changed."""


def remove(name: str, *, rows: bool) -> str:
    """Remove a feature, with its rows if `rows` says so. Returns what was done.

    Raises:
        Refused: it cannot be removed, and everything is as before.
    """
    folder = LIST.parent / name
    code = [
        path for path in (folder, Path("tests/features", name), Path(f"tests/features/test_{name}.py")) if path.exists()
    ]
    if not name.isidentifier() or not (folder / "__init__.py").is_file():
        raise Refused(f"there is no feature app/features/{name}/")
    status = ["git", "status", "--porcelain", "--", *map(str, code)]
    changed = subprocess.run(status, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if changed.stdout:
        raise Refused(f"{changed.stdout.split()[1]} is not committed: commit first, so that you can go back")
    imported = re.compile(rf"app\.features\.{name}\b|from app\.features import [^\n]*\b{name}\b")
    users = [
        path.as_posix()
        for root in ("app", "tests", "ops")
        for path in sorted(Path(root).rglob("*.py"))
        if path != LIST
        and not any(path.is_relative_to(one) for one in code)
        and imported.search(path.read_text("utf-8"))
    ]
    if users:
        raise Refused(f"{', '.join(users)} imports app.features.{name}: remove that first")
    listed = without(name, LIST.read_text("utf-8"))
    if re.search(rf"\b{name}\b", listed):
        raise Refused(f"{LIST} names {name} in a way of its own: remove that first")
    tables = {
        str(mapper.local_table)
        for mapper in Base.registry.mappers
        if f"{mapper.class_.__module__}.".startswith(f"{features.__name__}.{name}.")
    }
    pending, made = revisions(tables)
    if made:
        alembic("upgrade", "head")
        alembic("check")
    with kept([*code, LIST, README, VERSIONS]):
        for path in [*code, *pending]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not list(VERSIONS.glob("*.py")):
            (VERSIONS / ".gitkeep").touch()
        LIST.write_text(listed, "utf-8")
        for command in (["check", "--fix", "--quiet"], ["format", "--quiet"]):
            subprocess.run([sys.executable, "-m", "ruff", *command, LIST], check=True)  # noqa: S603  # our own command
        paragraphs = README.read_text("utf-8").split("\n\n") if README.exists() else []
        if any(f"app/features/{name}/" in one for one in paragraphs):
            README.write_text("\n\n".join(one for one in paragraphs if f"app/features/{name}/" not in one), "utf-8")
        if made:
            drop(name, rows=rows)
    done = "its revision is removed" if pending else "a new revision drops its tables" if made else "it had no tables"
    return f"removed {name}: {done}"


def without(name: str, text: str) -> str:
    """Return the list of features without one."""
    entry = r"(,\s*)?\*?\b{}(?(1)|,?[ \t]*)"
    text = re.sub(entry.format(rf"{name}\.\w+(?:\([^()]*\))?"), "", text)
    imports = re.compile(r"^from app\.features import (\([^)]*\)|[^\n(]*)\n", re.MULTILINE)
    text = imports.sub(lambda line: re.sub(entry.format(rf"{name}\b"), "", line[0]), text)
    return re.sub(r"^from app\.features import (\(\s*\))?\s*?\n", "", text, flags=re.MULTILINE)


def revisions(tables: set[str]) -> tuple[list[Path], bool]:
    """Return the newest revisions if they make only these tables and were not applied, and whether others make them."""
    script = ScriptDirectory.from_config(Config("alembic.ini"))
    said = alembic("current")
    known = {one.revision: one for one in script.walk_revisions()}
    current = [line.split()[0] for line in said.splitlines() if line.split()[:1] and line.split()[0] in known]
    applied = {one.revision for name in current for one in script.iterate_revisions(name, "base")}
    pending: list[Path] = []
    for one in known.values():  # the newest first
        made = {*tables_of_revisions([Path(one.path)])}
        if one.revision in applied or not made or not made <= tables:
            break
        pending.append(Path(one.path))
    older = [Path(one.path) for one in known.values() if Path(one.path) not in pending]
    return pending, bool(tables & {*tables_of_revisions(older)})


def drop(name: str, *, rows: bool) -> None:
    """Write the revision that drops the tables, and apply it."""
    before = {*VERSIONS.glob("*.py")}
    alembic("revision", "--autogenerate", "--message", f"remove {name}")
    (new,) = {*VERSIONS.glob("*.py")} - before
    if rows:
        new.write_text(
            new.read_text("utf-8").replace("\n\n\ndef upgrade", "\nloses_data = True\n\n\ndef upgrade", 1), "utf-8"
        )
    try:
        alembic("upgrade", "head")
    except Refused as refusal:
        if "has rows" in str(refusal):
            raise Refused("its tables have rows: rows=delete deletes them") from None
        raise


def alembic(*arguments: str) -> str:
    """Run Alembic."""
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own command
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise Refused(f"alembic {arguments[0]}: {lines[-1] if lines else done.returncode}")
    return done.stdout


@contextmanager
def kept(paths: list[Path]) -> Iterator[None]:
    """Put everything back if something fails."""
    with TemporaryDirectory(prefix="feature-") as place:
        for path in paths:
            if path.exists():
                (Path(place) / path.parent).mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy)(path, Path(place) / path)
        try:
            yield
        except BaseException:
            for path in paths:
                if path.is_dir():
                    shutil.rmtree(path)
                saved = Path(place) / path
                if saved.exists():
                    (shutil.copytree if saved.is_dir() else shutil.copy)(saved, path)
            raise


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m dev.remove_feature", description=__doc__)
    parser.add_argument("name", help="the folder in app/features/")
    parser.add_argument("--rows", choices=["keep", "delete"], default="keep", help="`delete`: its tables may have rows")
    arguments = parser.parse_args()
    try:
        sys.stdout.write(f"{remove(arguments.name, rows=arguments.rows == 'delete')}\n")
    except Refused as refusal:
        sys.stderr.write(f"{arguments.name} stays: {refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
