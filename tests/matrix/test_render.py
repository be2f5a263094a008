"""Every combination renders: the same twice, clean, and with nothing in it of what was not enabled."""

import json
import re
import subprocess
import sys
import tomllib
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from tests.conftest import Render, copy
from tests.live.environment import REQUIREMENTS
from tests.manifests import EXTENSIONS
from tests.matrix.combinations import LISTS, Answers, allowed, every, grouped, values
from tests.tree import ASKED, CHOICES, MANIFESTS, PAGES, SEEDS, parts, required, texts, words

VARIABLE = r"^(?:# )?([A-Z][A-Z_]*?__[A-Z_]+)="
"""A line of .env.example, in force or shown. The value may name another variable."""
ORDINARY = {"requests"}
"""Libraries named by a word that every service says."""
Loaded = tuple[Path, dict[str, Any]]


@pytest.fixture(params=grouped())
def service(request: pytest.FixtureRequest, rendered: Render) -> Loaded:
    """A rendered combination and what it recorded."""
    root = rendered(**request.param)
    return root, yaml.safe_load((root / ".copier-answers.yml").read_text())


def tree(root: Path) -> dict[str, tuple[bytes, int]]:
    """Every file with its content and mode."""
    return {path.relative_to(root).as_posix(): (path.read_bytes(), path.stat().st_mode) for path in texts(root)}


def test_the_matrix_has_every_two_values_that_may_stand_together() -> None:
    table, rows = values(), [shown(row) for row in every()]
    for one, other in combinations(table, 2):
        for first, second in product(table[one], table[other]):
            if allowed({one: first, other: second}):
                assert any(row.get(one) == first and row.get(other) == second for row in rows), (
                    one,
                    first,
                    other,
                    second,
                )


def shown(row: Answers) -> Answers:
    """The answers as `values()` has them: each choice of a list by itself."""
    return row | {one: one in row[name] for name in LISTS if name in row for one in CHOICES[name]}


@pytest.mark.parametrize("answers", grouped())
def test_rendering_twice_is_identical(
    answers: dict[str, Any], rendered: Render, template: Path, tmp_path: Path
) -> None:
    assert tree(copy(template, tmp_path / "again", **answers)) == tree(rendered(**answers))


def test_every_answer_is_recorded(service: Loaded) -> None:
    _, answers = service
    assert set(answers) == {"_commit", "_src_path", *ASKED}


def test_formatter_and_linter_find_nothing(service: Loaded) -> None:
    root, _ = service
    for command in (["format", "--check"], ["check", "--output-format=concise"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", root],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_toml_yaml_and_json_parse(service: Loaded) -> None:
    root, answers = service
    for path in texts(root):
        if path.suffix == ".toml":
            tomllib.loads(path.read_text())
        elif path.suffix in {".yml", ".yaml"}:
            list(yaml.safe_load_all(path.read_text()))  # a manifest may hold several documents
        elif path.suffix == ".json":
            json.loads(path.read_text())
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["name"] == answers["project_slug"]
    assert project["description"] == answers["description"]
    assert project["authors"][0]["name"] == answers["author_name"]


def test_no_trace_of_the_generator_is_left(service: Loaded) -> None:
    root, answers = service
    for path in [path for path in texts(root) if path.name != ".copier-answers.yml"]:
        text = path.read_text().replace(answers["description"] or "\0", "-")
        text = text.replace(json.dumps(answers["description"], ensure_ascii=False), "-")
        assert "\r" not in text, path
        assert not path.name.endswith(".jinja")
        assert not re.search(r'[<>:"|?*\\{}%]', path.relative_to(root).as_posix()), path
        assert "{%" not in text, path
        assert "\n\n\n\n" not in text, path
        assert not text or text.endswith("\n"), path
        assert not text.startswith("\n"), path


def test_what_is_off_is_off(service: Loaded) -> None:
    root, answers = service
    on = parts(answers)
    content = {path: re.sub(r"https?://\S+", "", path.read_text()) for path in texts(root)}  # a link is no mention
    kept = {word for name in on for word in [*words(name), *distributions(name), *variables(name)]}
    kept |= imported(required())
    works_with = {other for name in on for rule in MANIFESTS[name]["requires"] for other in rule["any"]}
    kept |= {word for name in works_with for word in words(name)}  # one of them has to be there, each may be named
    files = {path for name in on for path in [*MANIFESTS[name]["files"], *MANIFESTS[name]["scripts"]]}
    for name in [name for name in MANIFESTS if name not in on]:
        for path in [*MANIFESTS[name]["files"], *MANIFESTS[name]["scripts"]]:
            assert path in files or not (root / path).exists(), f"{name} is off and {path} is there"
        for word in {*words(name), *distributions(name), *variables(name)} - kept:
            said = mention(word)
            for path, text in content.items():
                line = next((line for line in text.splitlines() if said.search(line)), None)
                assert line is None, f"{name} is off and {path.relative_to(root)} says {word}: {line}"


def test_an_ordinary_name_is_found_where_code_or_a_list_has_it() -> None:
    for line in (
        "import requests",
        "    from requests import Session",
        '    "requests>=2.34,<3",',
        '"requests[socks]"',
    ):
        assert mention("requests").search(line), line
    for line in ("Requests see the same.", "# A share of the requests", '"legendFormat": "requests",'):
        assert not mention("requests").search(line), line


def test_no_python_is_admitted_that_cannot_unpack_archives_safely(rendered: Render) -> None:
    for python in CHOICES["python_version"]:
        project = tomllib.loads((rendered(python_version=python) / "pyproject.toml").read_text())
        admitted = SpecifierSet(project["project"]["requires-python"])
        assert "3.11.3" not in admitted  # tarfile has its filters from 3.11.4 on
        assert "3.14.0" in admitted


def test_what_is_on_is_there(service: Loaded) -> None:
    root, answers = service
    project = tomllib.loads((root / "pyproject.toml").read_text())
    for name in parts(answers):
        part = MANIFESTS[name]
        assert set(part["dependencies"]) <= set(project["project"]["dependencies"])
        assert set(part["dev-dependencies"]) <= set(project["dependency-groups"]["dev"])
        assert set(variables(name)) <= set(re.findall(VARIABLE, (root / ".env.example").read_text(), re.MULTILINE))
        for path in part["files"]:
            assert not (root / path).stat().st_mode & 0o111, path
        for path in part["scripts"]:
            assert (root / path).stat().st_mode & 0o111, path
        if name in [*PAGES, *SEEDS]:
            document = (root / (f"docs/options/{name}.md" if name in PAGES else "README.md")).read_text()
            assert (EXTENSIONS / name / "docs" / "guide.md").read_text().splitlines()[0] in document


def test_a_service_depends_on_nothing_that_only_the_templates_tests_need(service: Loaded) -> None:
    root, answers = service
    project = tomllib.loads((root / "pyproject.toml").read_text())
    listed = {*project["project"]["dependencies"], *project["dependency-groups"]["dev"]}
    for name in parts(answers):
        listed -= {*MANIFESTS[name]["dependencies"], *MANIFESTS[name]["dev-dependencies"]}
    tests = {entry for part in MANIFESTS.values() for entry in part.get("test-dependencies", [])}
    assert not listed & {*REQUIREMENTS.read_text().split(), *tests}


def imported(entries: list[str]) -> set[str]:
    """Libraries as they are installed and as they are imported."""
    found = {re.split(r"[\[<>=]", entry)[0] for entry in entries}
    return found | {entry.replace("-", "_") for entry in found}


def mention(word: str) -> re.Pattern[str]:
    """Return a pattern for a word; for an ordinary name of a library, a pattern for its imports and dependencies."""
    if word in ORDINARY:
        return re.compile(rf"^\s*(?:from|import) {word}\b|[\"']{word}[\[<>=~!]")
    return re.compile(rf"(?i)(?<![a-z]){re.escape(word)}(?![a-z])")


def distributions(name: str) -> set[str]:
    """The libraries that an extension brings."""
    return imported([*MANIFESTS[name]["dependencies"], *MANIFESTS[name]["dev-dependencies"]])


def variables(name: str) -> list[str]:
    """The environment variables that an extension's fragment names."""
    path = EXTENSIONS / name / "env"
    return re.findall(VARIABLE, path.read_text(), re.MULTILINE) if path.exists() else []
