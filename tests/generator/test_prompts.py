"""The questions at a terminal: typed, chosen with the arrow keys, selected with space, corrected after a mistake."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pexpect
import pytest
import yaml

from tests.releases import NEXT, git
from tests.tree import ASKED, CHOICES, MANIFESTS, QUESTIONS

DOWN, ENTER, CLEAR, INTERRUPT = "\x1b[B", "\r", "\x15", "\x03"
PLAIN = ["-m", "copier", "copy", "--quiet", f"--vcs-ref={NEXT}"]
PROGRAM = ["-m", "groundwork", "new"]


@contextmanager
def terminal(arguments: list[str], folder: Path) -> Iterator["pexpect.spawn[str]"]:
    """A command at a terminal of its own."""
    environ = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    child = pexpect.spawn(
        sys.executable, arguments, cwd=str(folder), env=environ, encoding="utf-8", dimensions=(50, 200), timeout=30
    )
    try:
        yield child
    finally:
        child.close(force=True)


def answer(child: "pexpect.spawn[str]", question: str, keys: str = ENTER) -> None:
    """Wait for a question, then type."""
    child.expect_exact(QUESTIONS[question]["help"])
    child.send(keys)


def recorded(service: Path) -> dict[str, Any]:
    """The answers file."""
    loaded: dict[str, Any] = yaml.safe_load((service / ".copier-answers.yml").read_text())
    return loaded


@pytest.mark.parametrize("front", ["plain", "program"])
def test_enter_everywhere_gives_the_defaults(front: str, template: Path, tmp_path: Path) -> None:
    arguments = (
        [*PLAIN, str(template), "service"] if front == "plain" else [*PROGRAM, "service", "--template", str(template)]
    )
    with terminal(arguments, tmp_path) as child:
        for question in ASKED:
            answer(child, question)
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    answers = recorded(tmp_path / "service")
    assert answers["project_name"] == "My Service"
    assert answers["preset"] == "standard"
    assert answers["extensions"] == [name for name in CHOICES["extensions"] if "standard" in MANIFESTS[name]["presets"]]
    assert answers["sample"] is True


def test_every_question_is_answered_otherwise_at_the_terminal(template: Path, tmp_path: Path) -> None:
    with terminal([*PROGRAM, "service", "--template", str(template)], tmp_path) as child:
        answer(child, "project_name", f"9 lives{ENTER}")  # typing replaces the default
        child.expect_exact("9 lives is refused")
        child.send(f"{CLEAR}Harbour Office{ENTER}")
        child.expect_exact("harbour-office")  # the slug that it suggests
        child.send(ENTER)
        answer(child, "description", f"Ships in and out{ENTER}")
        answer(child, "author_name", f"Ada{ENTER}")
        answer(child, "author_email", f"ada{ENTER}")
        child.expect_exact("ada is refused")
        child.send(f"@example.com{ENTER}")
        answer(child, "repository_url")
        answer(child, "license", DOWN + ENTER)
        answer(child, "python_version", DOWN + ENTER)
        answer(child, "preset", DOWN + ENTER)
        answer(child, "database")
        child.expect_exact(f"{MANIFESTS['postgres']['title']}: {MANIFESTS['postgres']['help']}")
        child.send("")
        answer(child, "extensions", DOWN * (len(CHOICES["extensions"]) - 1) + " " + ENTER)
        answer(child, "delivery", DOWN * (len(CHOICES["delivery"]) - 1) + " " + ENTER)
        answer(child, "ci", DOWN * (len(CHOICES["ci"]) - 1) + ENTER)
        answer(child, "response_format", DOWN + ENTER)
        answer(child, "sample", "n")
        child.expect(r"writing the service: \d+ files")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    answers = recorded(tmp_path / "service")
    *others, _ = CHOICES["extensions"]
    expected = [name for name in others if "production" in MANIFESTS[name]["presets"]]
    assert answers == {
        "_commit": NEXT,
        "_src_path": str(template),
        "project_name": "Harbour Office",
        "project_slug": "harbour-office",
        "description": "Ships in and out",
        "author_name": "Ada",
        "author_email": "ada@example.com",
        "repository_url": "",
        "license": "Apache-2.0",
        "python_version": "3.14",
        "preset": "production",
        "database": "sqlite",
        "extensions": expected,
        "delivery": [  # the last one is toggled
            name
            for name in CHOICES["delivery"]
            if ("production" in MANIFESTS[name]["presets"]) != (name == CHOICES["delivery"][-1])
        ],
        "ci": CHOICES["ci"][-1],
        "response_format": "envelope",
        "sample": False,
    }


def test_what_is_given_is_not_asked(template: Path, tmp_path: Path) -> None:
    given = {"project_name": "Pier", "license": "proprietary", "extensions": "[]", "sample": "no"}
    data = [f"--data={name}={value}" for name, value in given.items()]
    with terminal([*PROGRAM, "service", "--template", str(template), *data], tmp_path) as child:
        for question in [name for name in ASKED if name not in given]:
            answer(child, question)
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    answers = recorded(tmp_path / "service")
    assert answers["project_slug"] == "pier"
    assert answers["extensions"] == []


def test_a_wrong_answer_given_is_refused_before_the_first_question(template: Path, tmp_path: Path) -> None:
    with terminal([*PROGRAM, "service", "--template", str(template), "--data=databse=x"], tmp_path) as child:
        child.expect_exact("groundwork: unknown question databse: choose from project_name, ")
        child.expect(pexpect.EOF)
        assert QUESTIONS["project_name"]["help"] not in (child.before or "")
        child.wait()
        assert child.exitstatus == 1


def test_control_c_leaves_nothing(template: Path, tmp_path: Path) -> None:
    with terminal([*PROGRAM, "service", "--template", str(template)], tmp_path) as child:
        answer(child, "project_name")
        answer(child, "project_slug", INTERRUPT)
        child.expect_exact("groundwork: stopped, and nothing was written")
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 1
    assert list(tmp_path.iterdir()) == []


def test_an_update_asks_with_the_recorded_answers(template: Path, tmp_path: Path) -> None:
    service = tmp_path / "service"
    with terminal(
        [*PROGRAM, "service", "--defaults", "--data=license=proprietary", "--template", str(template)], tmp_path
    ) as child:
        child.expect(pexpect.EOF)
    with terminal(["-m", "copier", "update", "--vcs-ref=:current:"], service) as child:
        for question in ASKED:
            answer(child, question, DOWN + ENTER if question == "database" else ENTER)
        child.expect(pexpect.EOF)
        child.wait()
        assert child.exitstatus == 0
    answers = recorded(service)
    assert answers["database"] == "postgres"
    assert answers["license"] == "proprietary"
    assert "asyncpg" in git(service, "diff")
