"""The template's files that a release removes: an update deletes them, and the notes of the release name each."""

import re
from pathlib import Path

import pytest

from tests.releases import REPOSITORY, git, releases
from tests.update.conftest import Made
from tests.update.next_release import NOW
from tests.update.services import commit, the_templates, update

NEWEST = list(releases())[-1]
WITH_TESTS = "0.3.3"
"""The last release whose services have the template's own tests, and a core of one level."""
ANSWERS = [
    {"preset": "minimal"},
    {"preset": "production", "database": "sqlite", "response_format": "envelope"},
    {"preset": "production", "database": "postgres", "response_format": "plain"},
]
MINE = "# mine: 1\n"


def notes(since: str) -> str:
    """Return what the changelog says about all that is newer than a release."""
    newer, heading, _ = (REPOSITORY / "CHANGELOG.md").read_text().partition(f"\n## [{since}]")
    assert heading, f"CHANGELOG.md has no entry for {since}"
    return newer


def named(text: str) -> set[str]:
    """Return the paths in backquotes; `app/core/{one,two}.py` is two of them."""
    found = set()
    for path in re.findall(r"`([^`\s]+)`", text):
        before, _, rest = path.partition("{")
        inside, closed, after = rest.partition("}")
        found |= {f"{before}{one}{after}" for one in inside.split(",")} if closed else {path}
    return found


def unnamed(gone: set[str], there: set[str], paths: set[str]) -> list[str]:
    """Return the removed files that no path names: their own one, or that of a folder of which nothing is left."""
    folders = tuple(path for path in paths if path.endswith("/") and not any(one.startswith(path) for one in there))
    return sorted(path for path in gone - paths if not folders or not path.startswith(folders))


@pytest.mark.parametrize("answers", ANSWERS, ids=lambda answers: "-".join(answers.values()))
def test_the_notes_name_each_removed_file(answers: dict[str, str], fresh: Made) -> None:
    there = set(the_templates(fresh(NOW, **answers)))
    gone = set(the_templates(fresh(f"v{NEWEST}", **answers))) - there
    assert unnamed(gone, there, named(notes(NEWEST))) == []


def test_a_folder_of_which_something_is_left_names_no_file() -> None:
    paths = named("Gone: `a/`, `b/` and `c/{one,two}.py`.")
    assert unnamed({"a/x.py", "b/y.py", "c/one.py", "c/two.py", "c/three.py"}, {"b/z.py"}, paths) == [
        "b/y.py",
        "c/three.py",
    ]


@pytest.fixture(params=["tests/core/test_health.py", "app/core/problems.py"])
def edited(request: pytest.FixtureRequest, service: Made) -> tuple[Path, str]:
    """A service with an edit in a file that is no longer there, and that file."""
    root = service(f"v{WITH_TESTS}", preset="minimal")
    with (root / request.param).open("a") as file:
        file.write(MINE)
    commit(root)
    return root, request.param


@pytest.mark.xfail(reason="Copier deletes what the template deletes or moves, edited or not, and says nothing")
def test_an_edit_in_a_removed_file_is_not_lost(edited: tuple[Path, str]) -> None:
    root, _ = edited
    update(root, NOW)
    assert any(MINE in path.read_text() for folder in ("app", "tests") for path in (root / folder).rglob("*.py"))


def test_the_command_of_the_notes_lists_the_edited_files(edited: tuple[Path, str]) -> None:
    root, path = edited
    (command,) = re.findall(r"`git (log [^`]*)`", notes(WITH_TESTS))
    assert git(root, *command.split()).splitlines()[1:] == [path]
