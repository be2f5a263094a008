"""The in-depth tests of the core and of the options, run in the fewest services that show all that they prove."""

import subprocess
from dataclasses import dataclass
from typing import Any

import pytest

from tests.live.conftest import Make
from tests.live.environment import DEFAULT, OLDEST, clean
from tests.live.service import Rendered
from tests.matrix.combinations import LISTS, extremes
from tests.service.overlay import files, folders, laid_over, lay_over
from tests.tree import CHOICES, MANIFESTS

NOTHING: dict[str, Any] = {"extensions": [], "delivery": [], "ci": "none", "response_format": "plain", "sample": False}


@dataclass(frozen=True)
class Row:
    """A service, and the tests that run in it."""

    name: str
    answers: dict[str, Any]
    tests: tuple[str, ...]
    python: str = DEFAULT


def everything(database: str, **more: Any) -> dict[str, Any]:
    """Return the answers of the service with the most options."""
    known = [row for row in extremes() if row["database"] == database and row["sample"]]
    return {**NOTHING, **max(known, key=lambda row: sum(len(row[name]) for name in LISTS)), **more}


def alone(name: str) -> dict[str, Any]:
    """Return the answers of the smallest service on SQLite with an option, and what it requires there."""
    chosen = {name}
    for rule in MANIFESTS[name]["requires"]:
        if "sqlite" not in rule["any"]:
            chosen.add(next(other for other in rule["any"] if other not in CHOICES["database"]))
    lists = {question: [option for option in CHOICES[question] if option in chosen] for question in LISTS}
    return {**NOTHING, "database": "sqlite", **lists}


def rows() -> list[Row]:
    """Return everything together, the core alone, and each option alone.

    The core so runs with each database, with each response format, and on the oldest and the newest Python. An option
    runs on PostgreSQL among all others, and on SQLite alone, or with what it requires there.
    """
    found = [
        Row("everything", everything("postgres", response_format="envelope"), ("tests",), OLDEST),
        Row("core", {**NOTHING, "database": "sqlite"}, ("tests/core", "tests/dev")),
    ]
    for place, folder in folders().items():
        name = folder.parent.name
        if name in MANIFESTS:
            found.append(Row(name, alone(name), (place,)))
    return found


ROWS = [pytest.param(row, id=row.name) for row in rows()]


def laid(service: Rendered) -> Rendered:
    """Return a service with its tests laid over it."""
    lay_over(service.root)
    return service


def execute(service: Rendered, *command: str) -> None:
    """Run a module of the service's Python in it."""
    done = subprocess.run(
        [service.python, "-m", *command],
        cwd=service.root,
        env=clean(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-8000:]


@pytest.mark.timeout(1000)
@pytest.mark.parametrize("row", ROWS)
def test_the_tests_pass(row: Row, rendered: Make) -> None:
    service = laid(rendered(python=row.python, migrated=False, copy=True, url="", **row.answers))
    execute(service, "pytest", "-q", *row.tests)


@pytest.mark.full
@pytest.mark.timeout(1000)
@pytest.mark.parametrize("database", CHOICES["database"])
def test_the_tests_cover_the_templates_own_code(database: str, rendered: Make) -> None:
    service = laid(rendered(migrated=False, copy=True, url="", **everything(database)))
    execute(service, "pytest", "-q", "--cov=app", "--cov=ops", "--cov-fail-under=90")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("database", "response_format", "python"), [("postgres", "envelope", OLDEST), ("sqlite", "plain", DEFAULT)]
)
def test_the_code_and_its_tests_are_typed(database: str, response_format: str, python: str, rendered: Make) -> None:
    answers = everything(database, response_format=response_format)
    service = rendered(python=python, migrated=False, copy=True, url="", **answers)
    service.make("check")
    execute(laid(service), "mypy")


def test_every_test_file_runs_on_each_database_and_format_that_it_is_for() -> None:
    ran = set()
    for row in rows():
        for name, path in laid_over(row.answers).items():
            if name.startswith(tuple(f"{place}/" for place in row.tests)):
                ran |= {path}
    tests = {path for folder in folders().values() for path in files(folder) if path.name.startswith("test_")}
    assert tests
    assert tests <= ran
