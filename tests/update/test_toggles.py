"""Toggles: any answer changed later gives the template's files of a new service with that answer, and back again."""

from pathlib import Path
from typing import Any

import pytest
from copier import VcsRef

from tests.matrix.combinations import Answers, possible, values
from tests.tree import ASKED, CHOICES, MANIFESTS
from tests.update.conftest import Made
from tests.update.later import LATER, NOW
from tests.update.services import (
    commit,
    conflicts,
    different,
    duplicate,
    empty_folders,
    files,
    recorded,
    the_owners,
    the_templates,
    update,
)


def held(root: Path, expected: Path) -> None:
    """The template's files are those of a new service, and nothing else is left over."""
    assert different(the_templates(root), the_templates(expected)) == []
    assert conflicts(root) == []
    assert empty_folders(root) == []


def alone(name: str) -> Answers:
    """The fewest answers that an extension can be ticked in: some need another one."""
    for database in CHOICES["database"]:
        for others in [[], *([other] for other in CHOICES["extensions"] if other != name)]:
            ticked = [one for one in CHOICES["extensions"] if one in {name, *others}]
            row = {"database": database, "extensions": ticked, "ci": "none", "sample": True}
            if possible(row):
                return row
    raise AssertionError(f"nothing allows {name}")


@pytest.mark.parametrize("name", CHOICES["extensions"])
def test_an_extension_goes_off_and_on_and_off_again(name: str, service: Made, fresh: Made) -> None:
    on = alone(name)
    off = on | {"extensions": [other for other in on["extensions"] if other != name]}
    root = service(NOW, **off)
    for answers in (on, off, on):
        update(root, VcsRef.CURRENT, extensions=answers["extensions"])
        held(root, fresh(NOW, **answers))
        commit(root)


@pytest.mark.parametrize("question", ["database", "ci", "license"])
def test_a_choice_goes_there_and_back(question: str, service: Made, fresh: Made) -> None:
    first, *others = CHOICES[question]
    answers = {"preset": "minimal", "ci": "none"}
    root = service(NOW, **answers | {question: first})
    for choice in [choice for other in others for choice in (other, first)]:
        update(root, VcsRef.CURRENT, **{question: choice})
        held(root, fresh(NOW, **answers | {question: choice}))
        commit(root)


@pytest.mark.parametrize(
    "question", [name for name in ASKED if name not in {"extensions", "database", "ci", "license"}]
)
def test_any_other_answer_can_be_changed_too(question: str, service: Made, fresh: Made) -> None:
    root = service(NOW)
    before, owners = recorded(root), the_owners(root)
    answer = next(value for value in values().get(question, ["another-name"]) if value != before[question])
    update(root, VcsRef.CURRENT, **{question: answer})
    held(root, fresh(NOW, **before | {question: answer}))
    assert recorded(root) == before | {question: answer}
    assert different(the_owners(root), owners) == []


def test_an_extension_can_be_ticked_together_with_a_newer_version(service: Made, fresh: Made) -> None:
    root = service(NOW, preset="minimal")
    update(root, LATER, extensions=["beacon"], database="postgres", greeting="warm")
    held(root, fresh(LATER, preset="minimal", extensions=["beacon"], database="postgres", greeting="warm"))
    assert (root / "ops/beacon.sh").stat().st_mode & 0o111, "a script may be executed"


def test_what_an_option_no_longer_ships_is_gone(service: Made) -> None:
    root = service(NOW, database="postgres", preset="minimal")
    update(root, VcsRef.CURRENT, database="sqlite")
    for name in MANIFESTS["postgres"]["files"]:
        assert name in MANIFESTS["sqlite"]["files"] or not (root / name).exists()
    assert "asyncpg" not in (root / "pyproject.toml").read_text()


def test_a_later_answer_about_the_sample_only_moves_the_record(service: Made, tmp_path: Path) -> None:
    root = service(NOW)
    kept = duplicate(root, tmp_path / "kept")
    for sample in (False, True):
        update(root, VcsRef.CURRENT, sample=sample)
        assert recorded(root)["sample"] is sample
        assert different(files(root), files(kept)) == ([] if sample else [".copier-answers.yml"])
        commit(root)


def test_a_preset_changed_later_ticks_nothing(service: Made) -> None:
    root = service(NOW, preset="minimal")
    before = recorded(root)
    assert before["extensions"] == []
    update(root, VcsRef.CURRENT, preset="production")
    assert recorded(root) == before | {"preset": "production"}


def test_an_update_never_ticks_a_newer_extension(service: Made, fresh: Made) -> None:
    assert "beacon" in recorded(fresh(LATER, preset="production"))["extensions"], "a new service has it"
    root = service(NOW, preset="production")
    ticked: Any = recorded(root)["extensions"]
    assert recorded(update(root))["extensions"] == ticked
    assert not (root / "app/extensions/beacon").exists()
