"""The oracle: a service that was updated has the template's files as a new service has them, byte for byte."""

import subprocess
from typing import Any

import pytest
import yaml

from tests.matrix.combinations import LISTS, Answers, every, label, possible
from tests.releases import REPOSITORY, releases
from tests.update.conftest import Made
from tests.update.next_release import LATER, NOW
from tests.update.services import (
    commit,
    conflicts,
    different,
    empty_folders,
    files,
    recorded,
    the_owners,
    the_templates,
    update,
)

RELEASED = [f"v{version}" for version in releases()]
PATHS = [*((version, NOW) for version in RELEASED), (RELEASED[0], LATER), (NOW, LATER)]
"""From every release to the working tree, and from the first one and the working tree to a later version."""


def rows(version: str) -> list[Answers]:
    """The combinations that a version can make: an old one does not know today's options."""
    if version == NOW:
        return every()
    shown = ["git", "-C", str(REPOSITORY), "show", f"{releases()[version[1:]]}:copier.yml"]
    questions = yaml.safe_load(subprocess.run(shown, capture_output=True, text=True, check=True).stdout)
    choices = yaml.safe_load(questions["registry"]["default"])["choices"]
    made = []
    for row in every():
        known = {name: answer for name, answer in row.items() if name in questions}
        lists = {name: [one for one in known[name] if one in choices[name]] for name in LISTS if name in known}
        others = {name: answer for name, answer in known.items() if name not in lists}
        if all(answer in choices[name] for name, answer in others.items() if name in choices):
            made.append(known | lists)
    return [row for number, row in enumerate(made) if row not in made[:number] and possible(row)]


def given(row: Answers) -> set[tuple[str, str]]:
    """Return each answer of a row with its question; a list has one for each of its choices."""
    return {
        (question, str(one))
        for question, answer in row.items()
        for one in (answer if isinstance(answer, list) else [answer])
    }


def fewest(made: list[Answers]) -> list[Answers]:
    """Choose rows until each answer is in one of them, the row with most new answers first."""
    chosen: list[Answers] = []
    missing = set().union(*map(given, made))
    while missing:
        row = max(made, key=lambda one: len(given(one) & missing))
        chosen.append(row)
        missing -= given(row)
    return chosen


def cases() -> list[Any]:
    """Return every path with every row; `make test` takes the fewest rows that have each answer."""
    found = []
    for old, new in PATHS:
        made = rows(old)
        quick = fewest(made)
        for number, row in enumerate(made):
            marks = [] if row in quick else [pytest.mark.full]
            found.append(pytest.param(old, new, row, id=f"{old}-{new}-{number}-{label(row)}", marks=marks))
    return found


@pytest.mark.parametrize(("old", "new", "answers"), cases())
def test_an_updated_service_is_a_new_one(old: str, new: str, answers: Answers, service: Made, fresh: Made) -> None:
    root = service(old, **answers)
    before, owners = recorded(root), the_owners(root)

    update(root, new)

    expected = fresh(new, **recorded(root))
    assert different(the_templates(root), the_templates(expected)) == []
    assert {name: answer for name, answer in recorded(root).items() if name in before} == before
    assert different(the_owners(root), owners) == []
    assert conflicts(root) == []
    assert empty_folders(root) == []


def test_the_later_version_changes_every_kind_of_file(fresh: Made) -> None:
    old, new = fresh(NOW, preset="production"), fresh(LATER, preset="production")
    changed = different(the_templates(old), the_templates(new))
    kinds = [
        "Makefile",
        "pyproject.toml",
        ".env.example",
        ".gitignore",
        "docs/later.md",
        "app/main.py",
        "ops/beacon.sh",
    ]
    assert {*kinds, ".copier-answers.yml", "app/core/data/engine.py", "app/extensions/__init__.py"} <= set(changed)
    seeds = different(the_owners(old), the_owners(new))
    assert {"README.md", "CHANGELOG.md", "app/features/orders/service.py", "migrations/versions/0001_orders.py"} <= set(
        seeds
    )


def test_updating_twice_changes_nothing_more(service: Made) -> None:
    root = update(service())
    commit(root)
    once = files(root)
    assert different(files(update(root)), once) == []


@pytest.mark.parametrize("version", sorted({old for old, _ in PATHS}))
def test_the_quick_rows_of_a_version_have_each_of_its_answers(version: str) -> None:
    made = rows(version)
    quick = fewest(made)
    assert set().union(*map(given, quick)) == set().union(*map(given, made))
    assert len(quick) < len(made) / 4
