"""Extensions that do not exist yet: the generated list, combinations, presets, scripts."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from copier import run_copy
from copier.errors import UserMessageError

from tests.generator.synthetic import add, clone, publish
from tests.tree import CHOICES

NAMES = [f"a_rather_long_extension_name_{letter}" for letter in "tsrqponmlkjihgfedcba"]


@pytest.fixture(scope="module")
def extended(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with twenty more extensions, and three with rules about one another."""
    root = clone(template, tmp_path_factory.mktemp("extended") / "groundwork")
    for name in NAMES:
        add(root, name)
    add(root, "queue", presets=["production"], requires=[{"any": ["postgres"], "reason": "it keeps its jobs there"}])
    add(root, "mailer", presets=["production"], requires=[{"any": ["queue"], "reason": "mails are jobs"}])
    add(root, "silence", conflicts=[{"with": "mailer", "reason": "no one would read the mails"}])
    script = root / "extensions" / "queue" / "files" / "ops" / "drain.sh"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\nexit 0\n")
    manifest = root / "extensions" / "queue" / "extension.yml"
    manifest.write_text(manifest.read_text().replace("scripts: []", "scripts:\n- ops/drain.sh"))
    return publish(root, "v1000.0.0")


def copied(template: Path, destination: Path, **answers: Any) -> Path:
    """A service of the newest version, without trust."""
    run_copy(str(template), destination, answers, defaults=True, quiet=True, unsafe=False)
    return destination


@pytest.mark.parametrize("count", [0, 1, 2, 5, 20])
def test_the_generated_list_is_what_a_careful_person_types(count: int, extended: Path, tmp_path: Path) -> None:
    root = copied(extended, tmp_path / "service", extensions=NAMES[:count])
    path = root / "app" / "extensions" / "__init__.py"
    for command in (["format", "--check", "--diff"], ["check", "--output-format=concise"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", path], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    enabled = [name for name in sorted(NAMES) if name in NAMES[:count]]
    returned = next(node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Return))
    assert isinstance(returned.value, ast.List)
    assert [ast.unparse(call) for call in returned.value.elts] == [f"{name}.component(settings)" for name in enabled]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"extensions": ["queue"]}, "queue needs postgres: it keeps its jobs there; enable it or disable queue"),
        ({"extensions": ["mailer"], "database": "postgres"}, "mailer needs queue: mails are jobs"),
        (
            {"extensions": ["queue", "mailer", "silence"], "database": "postgres"},
            "silence conflicts with mailer: no one would read the mails; disable one of them",
        ),
    ],
)
def test_an_impossible_combination_is_refused_with_its_reason(
    answers: dict[str, Any], said: str, extended: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserMessageError) as refusal:
        copied(extended, tmp_path / "service", **answers)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "service").exists()


@pytest.mark.parametrize(("database", "expected"), [("postgres", ["queue", "mailer"]), ("sqlite", [])])
def test_production_ticks_all_that_its_database_allows(
    database: str, expected: list[str], extended: Path, tmp_path: Path
) -> None:
    root = copied(extended, tmp_path / "service", preset="production", database=database)
    enabled = yaml.safe_load((root / ".copier-answers.yml").read_text())["extensions"]
    assert set(enabled) - set(CHOICES["extensions"]) == set(expected)


def test_minimal_ticks_nothing(extended: Path, tmp_path: Path) -> None:
    root = copied(extended, tmp_path / "service", preset="minimal")
    assert yaml.safe_load((root / ".copier-answers.yml").read_text())["extensions"] == []


def test_a_script_is_executable(extended: Path, tmp_path: Path) -> None:
    root = copied(extended, tmp_path / "service", extensions=["queue"], database="postgres")
    assert (root / "ops" / "drain.sh").stat().st_mode & 0o777 == 0o755
    assert not (root / "Makefile").stat().st_mode & 0o111
