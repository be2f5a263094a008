"""Services as owners of each release have them: the sample slice, the worked pages of the release, a migration."""

import ast
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

from tests.docs.markdown import blocks, write
from tests.live.environment import DEFAULT, clean, interpreter
from tests.update.next_release import change
from tests.update.services import commit

PAGES = ["docs/extending.md", "docs/options.md", "docs/options/*.md"]
"""The pages with code: since 0.4.0, each option has one."""
YOURS = ("app/features/", "tests/features/")
Names = dict[str, set[str]]
"""Modules, each with the names that are imported from it."""
IMPORTING = """
import importlib, json, sys, warnings

def has(module, name):
    if hasattr(module, name):
        return True
    try:
        return bool(importlib.import_module(f"{module.__name__}.{name}"))
    except ModuleNotFoundError:
        return False

found = {}
for name, names in json.load(sys.stdin).items():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            found[name] = {"warnings": [], "missing": [], "error": str(error)}
            continue
    missing = [one for one in names if not has(module, one)]
    found[name] = {"warnings": [str(one.message) for one in caught], "missing": missing, "error": None}
json.dump(found, sys.stdout)
"""
"""Imports modules by name and tells, as JSON, what was warned of and which names they lack."""


def work(root: Path, url: str) -> None:
    """Do what the pages of a new service say, beside its sample slice, and commit it."""
    written = set()
    if (root / "dev/feature.py").exists():  # since 0.5.0, the page begins with `make feature`
        run(root, url, "-m", "dev.feature", "notes", "text:str")
    for page in [found for pattern in PAGES for found in sorted(root.glob(pattern))]:
        for block in blocks(page.read_text()):
            if block.path and block.path.startswith(YOURS):
                write(root, block)
                written.add(block.path)
    slices = root / "app/features/__init__.py"
    others = ["documents", "orders"] if "app/features/documents.py" in written else ["orders"]
    change(slices, "^from app.features import notes$", f"from app.features import {', '.join([*others, 'notes'])}")
    change(slices, r"return \[", f"return [{''.join(f'{name}.component(), ' for name in others)}")
    if "app/features/notes/jobs.py" in written:
        enqueue_a_job(root / "app/features/notes/router.py")
    migrate(root, url, "upgrade(ini, 'head')", "revision(ini, 'add notes', autogenerate=True)", "upgrade(ini, 'head')")
    commit(root)


def enqueue_a_job(router: Path) -> None:
    """Enqueue the job of the page where a note is written."""
    imported = "from app.extensions.worker import JobsDep\nfrom app.features.notes.jobs import index_note\n"
    change(router, "^(?=from app.features.notes)", imported)
    change(router, r"(async def (?:write|create)_note\(.*?DatabaseDep)", r"\1, jobs: JobsDep")
    enqueue = "await jobs.enqueue(index_note.later(note_id=NOTE.id), key=str(NOTE.id), within=session)"
    if "async def create_note" in router.read_text():  # since 0.5.0
        created = enqueue.replace("NOTE", "created")
        change(router, r"^( +)(created = await [^\n]*\n)", rf"\1\2\1{created}\n")
    else:
        written = enqueue.replace("NOTE", "written")
        change(router, r"^( +)(?=emit_once_committed)", rf"\1{written}\n\1")


def run(root: Path, url: str, *arguments: str, given: str = "") -> str:
    """Run Python in a service, with a database and the libraries that any service may need; return what it prints."""
    done = subprocess.run(
        [interpreter(DEFAULT), *arguments],
        cwd=root,
        env=clean() | {"DATABASE__URL": url},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, f"{' '.join(arguments)}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout


def migrate(root: Path, url: str, *commands: str) -> None:
    """Run commands of Alembic one after the other, in one process."""
    lines = ["from alembic import command", "from alembic.config import Config", "ini = Config('alembic.ini')"]
    run(root, url, "-c", "\n".join([*lines, *(f"command.{one}" for one in commands)]))


def imported(root: Path, names: Names) -> dict[str, dict[str, Any]]:
    """Import modules in a service, each with the names that it should have."""
    given = json.dumps({module: sorted(wanted) for module, wanted in sorted(names.items())})
    found: dict[str, dict[str, Any]] = json.loads(run(root, "", "-c", IMPORTING, given=given))
    return found


def modules(root: Path) -> list[str]:
    """Return every module of a service's core, by its import path."""
    paths = [path.relative_to(root).with_suffix("") for path in (root / "app/core").rglob("*.py")]
    return sorted(".".join(path.parts).removesuffix(".__init__") for path in paths)


def public(module: Path) -> set[str]:
    """Return the names that a module has for others: its `__all__`, or what it defines."""
    found: set[str] = set()
    for node in ast.parse(module.read_text()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {target.id for target in targets if isinstance(target, ast.Name)}
            if "__all__" in names and node.value:
                return set(ast.literal_eval(node.value))
            found |= names
    return {name for name in found if not name.startswith("_") and name != "logger"}


def offered(root: Path) -> Names:
    """Return what owners may import: the modules of core, and what each extension exports."""
    found: Names = {module: set() for module in modules(root)}
    for path in [*(root / "app/core").glob("[!_]*.py"), *(root / "app/extensions").glob("*/__init__.py")]:
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = public(path)
    return found


def told(root: Path) -> Names:
    """Return what the pages of a service, its sample and the sample's tests import from the template's code."""
    texts = [path.read_text() for folder in YOURS for path in (root / folder).rglob("*.py")]
    for page in (root / "docs").rglob("*.md"):
        texts += [block.content for block in blocks(page.read_text()) if block.language == "python"]
    found: Names = {}
    for text in texts:
        for module, name in imports(text):
            if not module.startswith(("app.features", "tests.features")):
                found.setdefault(module, set()).add(name)
    return found


def imports(text: str) -> Iterator[tuple[str, str]]:
    """Yield each module and name that a text imports from the service."""
    try:
        tree = ast.parse(dedent(text))
    except SyntaxError:  # a part of a file, with `...` in it
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in {"app", "tests"}:
            for alias in node.names:
                yield node.module, alias.name
