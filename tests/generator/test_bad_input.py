"""Wrong answers, plain Copier and the program alike: one line with the value and the way out, and nothing written."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from copier import run_copy
from copier.errors import UserMessageError

from groundwork.errors import Refused, plain
from groundwork.new import new
from tests.releases import NEXT

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"project_name": "9 lives"}, "project_name: 9 lives is refused, it must be a letter"),
    ({"project_name": ""}, "project_name: the empty answer is refused"),
    ({"project_name": None}, "project_name: the empty answer is refused"),
    ({"project_name": 'Say "hi"'}, 'project_name: Say "hi" is refused'),
    ({"project_name": "It's"}, "project_name: It's is refused"),
    ({"project_name": "two\nlines"}, "project_name: two lines is refused"),
    ({"project_slug": "My_Service"}, "project_slug: My_Service is refused, it must be 1 to 40 lower-case letters"),
    ({"project_slug": "double--hyphen"}, "project_slug: double--hyphen is refused"),
    ({"description": "two\nlines"}, "description: two lines is refused, it must be one line"),
    ({"author_name": ""}, "author_name: the empty answer is refused"),
    ({"author_email": "ada"}, "author_email: ada is refused, it must be empty or like ada@example.com"),
    ({"repository_url": "github"}, "repository_url: github is refused, it must be empty or like https://"),
    ({"license": "mit"}, "license: there is no mit, choose from MIT, Apache-2.0, proprietary"),
    ({"python_version": "3.10"}, "python_version: there is no 3.10, choose from 3.11, 3.12"),
    ({"python_version": 2}, "python_version: there is no 2, choose from 3.11, 3.12, 3.13, 3.14"),
    ({"preset": "productoin"}, "preset: there is no productoin, choose from minimal, standard, production"),
    ({"database": "postgress"}, "database: there is no postgress, choose from sqlite, postgres"),
    ({"database": "oracle"}, "database: there is no oracle, choose from sqlite, postgres"),
    ({"database": ["sqlite"]}, "database: there is no ['sqlite'], choose from"),
    ({"extensions": "[promethus]"}, "extensions: there is no promethus, choose from redis, prometheus,"),
    ({"extensions": ["kafka"]}, "extensions: there is no kafka, choose from "),
    ({"extensions": "prometheus"}, "extensions: takes a list such as [redis], not prometheus"),
    ({"extensions": "[prometheus"}, "extensions: takes a list such as [redis], not [prometheus"),
    ({"extensions": {"prometheus": True}}, "extensions: takes a list such as [redis], not {"),
    ({"extensions": 3}, "extensions: takes a list such as [redis], not 3"),
    ({"extensions": ""}, "extensions: takes a list such as [redis], not the empty answer"),
    ({"ci": "gitlub"}, "ci: there is no gitlub, "),
    ({"sample": "maybe"}, "sample: there is no maybe, choose from yes, no"),
    ({"databse": "postgres"}, "unknown question databse: choose from project_name, "),
    ({"redis": "yes"}, "unknown question redis: "),
    ({"parts": "[]"}, "unknown question parts: "),
    ({"license": "GPL", "ci": "jenkins"}, "license: there is no GPL, choose from MIT, Apache-2.0, proprietary; ci: "),
]
RIGHT: list[tuple[str, Any, Any]] = [
    ("extensions", "[]", []),
    ("extensions", "[ prometheus ]", ["prometheus"]),
    ("extensions", "['prometheus']", ["prometheus"]),
    ("python_version", 3.12, "3.12"),
    ("sample", "no", False),
    ("sample", "0", False),
    ("sample", True, True),
    ("author_email", "", ""),
]


@pytest.mark.parametrize(("answers", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_plain_copier_refuses_a_wrong_answer(
    answers: dict[str, Any], said: str, template: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError) as refusal:
        run_copy(str(template), tmp_path / "service", answers, vcs_ref=NEXT, defaults=True, quiet=True, unsafe=False)
    assert plain(str(refusal.value)).startswith(said)
    assert len(str(refusal.value).splitlines()) == 1
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize(("answers", "said"), WRONG, ids=lambda value: str(value)[:40])
def test_the_program_refuses_a_wrong_answer(answers: dict[str, Any], said: str, template: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        new(tmp_path / "service", template=str(template), folder=tmp_path, data=answers, defaults=True)
    assert str(refusal.value).startswith(said)
    assert len(str(refusal.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("question", "given", "recorded"), RIGHT)
def test_every_way_to_write_a_right_answer_is_taken(
    question: str, given: Any, recorded: Any, template: Path, tmp_path: Path
) -> None:
    worker = run_copy(
        str(template),
        tmp_path,
        {question: given},
        vcs_ref=NEXT,
        defaults=True,
        quiet=True,
        overwrite=True,
        pretend=True,
    )
    assert worker.answers.combined[question] == recorded


def test_a_name_without_a_latin_letter_still_has_a_slug(template: Path, tmp_path: Path) -> None:
    for name, slug in (("订单", "service"), ("É 2", "service"), ("A" * 60, "a" * 40), ("Ünï 3 x", "n-3-x"), ("X", "x")):
        worker = run_copy(
            str(template), tmp_path, {"project_name": name}, vcs_ref=NEXT, defaults=True, quiet=True, pretend=True
        )
        assert worker.answers.combined["project_slug"] == slug


def test_copiers_command_line_says_it_in_one_line_and_fails(template: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "copier", "copy", "--defaults", "--quiet", f"--vcs-ref={NEXT}", "--data=databse=x"]
    done = subprocess.run(
        [*command, str(template), str(tmp_path / "service")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "unknown question databse: choose from project_name, " in done.stderr
    assert not (tmp_path / "service").exists()
