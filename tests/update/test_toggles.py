"""Toggles: any answer changed later gives the template's files of a new service with that answer, and back again."""

from pathlib import Path
from typing import Any

import pytest
from copier import VcsRef

from tests.matrix.combinations import LISTS, Answers, possible, values
from tests.tree import ASKED, CHOICES, MANIFESTS
from tests.update.conftest import Made
from tests.update.next_release import LATER, NOW
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


ENABLED = [(question, name) for question in LISTS for name in CHOICES[question]]


def enabling(chosen: set[str], database: str = CHOICES["database"][-1]) -> Answers:
    """The answers that enable these choices, without those that the manifests' rules forbid beside the others."""
    row: Answers = {"database": database, "ci": "none", "sample": True, **{question: [] for question in LISTS}}
    for question, name in [*ENABLED, *ENABLED]:  # once more, since one may need another that follows it
        more = row | {question: [one for one in CHOICES[question] if one in {*row[question], name}]}
        if name in chosen and possible(more):
            row = more
    return row


def alone(name: str) -> Answers:
    """The fewest answers that a choice can be enabled in: some need another one."""
    for database in CHOICES["database"]:
        for others in [set(), *({other} for _, other in ENABLED if other != name)]:
            row = enabling({name, *others}, database)
            if name in [one for question in LISTS for one in row[question]]:
                return row
    raise AssertionError(f"nothing allows {name}")


def halves() -> list[tuple[Answers, Answers]]:
    """Pairs of answers between which half of all choices go on and the other half go off.

    Halved by each binary digit of their numbers, so that any two choices are apart in one of the pairs.
    """
    digits = range(len(ENABLED).bit_length())
    sets = [{name for number, (_, name) in enumerate(ENABLED) if number >> digit & 1} for digit in digits]
    return [(enabling(one), enabling({name for _, name in ENABLED} - one)) for one in sets]


def test_the_halves_toggle_everything_both_ways() -> None:
    moved = {
        name
        for one, other in halves()
        for question, name in ENABLED
        if (name in one[question]) is not (name in other[question])
    }
    assert moved == {name for _, name in ENABLED}


@pytest.mark.parametrize(("one", "other"), halves(), ids=range(len(halves())))
def test_half_of_all_choices_go_off_while_the_others_go_on_and_back(
    one: Answers, other: Answers, service: Made, fresh: Made
) -> None:
    root = service(NOW, **one)
    for answers in (other, one):
        update(root, VcsRef.CURRENT, **{question: answers[question] for question in LISTS})
        held(root, fresh(NOW, **answers))
        commit(root)


@pytest.mark.full
@pytest.mark.parametrize("name", [name for _, name in ENABLED])
def test_a_choice_goes_on_and_off_and_on_again(name: str, service: Made, fresh: Made) -> None:
    on = alone(name)
    off = enabling({one for question in LISTS for one in on[question]} - {name}, on["database"])
    root = service(NOW, **off)
    for answers in (on, off, on):
        update(root, VcsRef.CURRENT, **{question: answers[question] for question in LISTS})
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


TEXTS = [name for name in ASKED if name not in CHOICES]
OTHERS = [[name] for name in CHOICES if name not in {*LISTS, "database", "ci", "license"}]


@pytest.mark.parametrize("questions", [TEXTS, *OTHERS], ids=["texts", *(name for [name] in OTHERS)])
def test_any_other_answer_can_be_changed_too(questions: list[str], service: Made, fresh: Made) -> None:
    root = service(NOW, preset="minimal")
    before, owners = recorded(root), the_owners(root)
    answers = {
        name: next(value for value in values().get(name, ["another-name"]) if value != before[name])
        for name in questions
    }
    update(root, VcsRef.CURRENT, **answers)
    held(root, fresh(NOW, **before | answers))
    assert recorded(root) == before | answers
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


def test_a_later_answer_about_the_sample_only_moves_the_record_and_its_target(service: Made, tmp_path: Path) -> None:
    root = service(NOW)
    kept = duplicate(root, tmp_path / "kept")
    for sample in (False, True):
        update(root, VcsRef.CURRENT, sample=sample)
        assert recorded(root)["sample"] is sample
        assert different(files(root), files(kept)) == ([] if sample else [".copier-answers.yml", "Makefile"])
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
    enabled: Any = recorded(root)["extensions"]
    assert recorded(update(root))["extensions"] == enabled
    assert not (root / "app/extensions/beacon").exists()
