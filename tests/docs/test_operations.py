"""The failures that the pages of a service list: a test shows each, and the one here shows the full disk."""

import re
import resource
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.bounds import BOUNDS
from tests.docs.conftest import writable
from tests.docs.faults import EVERY_SERVICE, OF_AN_EXTENSION
from tests.docs.markdown import failures
from tests.live.service import ORDERS, Rendered, order, running
from tests.manifests import EXTENSIONS, REPOSITORY
from tests.tree import CHOICES, PAGES

FAULTS = [
    (fault, test) for of_one in [EVERY_SERVICE, *OF_AN_EXTENSION.values(), BOUNDS] for fault, test in of_one.items()
]


def guide(name: str) -> str:
    """Return the page of an option, as its folder has it."""
    return (EXTENSIONS / name / "docs" / "guide.md").read_text()


@pytest.mark.parametrize(("fault", "test"), FAULTS)
def test_the_test_that_shows_a_fault_exists(fault: str, test: str) -> None:
    path, _, name = test.partition("::")
    folder, _, file = path.partition("/")
    file = f"{file}.py"
    if folder == "core":
        found = REPOSITORY / "tests" / "service" / "core" / file
    elif folder in CHOICES["database"]:
        found = REPOSITORY / "tests" / "service" / "core" / folder / file
    elif (EXTENSIONS / folder / "tests").is_dir():
        found = EXTENSIONS / folder / "tests" / file
    else:
        found = REPOSITORY / "tests" / folder / file
    assert re.search(rf"^(async )?def {name}\(", found.read_text(), re.MULTILINE), fault


def test_each_fault_of_every_service_is_shown(rendered: Render) -> None:
    told = set()
    for database in CHOICES["database"]:
        docs = rendered(database=database, extensions=[], delivery=[], ci="none") / "docs"
        for page in (docs / "operations.md", docs / "options" / f"{database}.md"):
            told |= set(failures(page.read_text()))
    assert told == set(EVERY_SERVICE)


def test_each_bound_on_what_a_caller_can_make_grow_is_reached(rendered: Render) -> None:
    page = (rendered(database="sqlite", extensions=CHOICES["extensions"]) / "docs" / "deployment.md").read_text()
    listed = page.partition("### Limits\n")[2].partition("\n###")[0]
    assert set(re.findall(r"^- ([^:]+): ", listed, re.MULTILINE)) == set(BOUNDS)


@pytest.mark.parametrize("name", [name for name in PAGES if name not in CHOICES["database"] and failures(guide(name))])
def test_each_fault_of_an_extension_is_shown(name: str) -> None:
    assert set(failures(guide(name))) == set(OF_AN_EXTENSION.get(name, {}))


def test_a_file_that_cannot_grow_refuses_writes_and_recovers(rendered: Render, python: Path, tmp_path: Path) -> None:
    root = writable(rendered(database="sqlite"), tmp_path / "service")
    file = tmp_path / "service.db"
    service = Rendered(root, python, database=f"sqlite+aiosqlite:///{file}")
    service.migrate()
    with running(service, tmp_path / "service.log", {"LOG__ACCESS": "false"}) as found:
        stored = [found.http.post(ORDERS, json=order(str(number))).status_code for number in range(20)]
        grown = Path(f"{file}-wal").stat().st_size
        before = resource.prlimit(found.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(found.process.pid, resource.RLIMIT_FSIZE, (grown + 20_000, before[1]))
        for number in range(20, 200):
            answer = found.http.post(ORDERS, json=order(str(number)))
            stored.append(answer.status_code)
            if answer.status_code != 201:
                break
        assert (answer.status_code, answer.json()["code"]) == (503, "database_failed")
        assert found.http.get(ORDERS).json()["total"] == stored.count(201)
        resource.prlimit(found.process.pid, resource.RLIMIT_FSIZE, before)
        assert found.http.post(ORDERS, json=order("again")).status_code == 201
        assert found.http.get(ORDERS).json()["total"] == stored.count(201) + 1
