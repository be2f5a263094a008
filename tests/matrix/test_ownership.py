"""Owners of files: the template's files, the owner's, and the four lists that both write."""

import os
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pathspec import PathSpec

from tests.conftest import Render, copy
from tests.matrix.combinations import grouped, label
from tests.releases import git
from tests.tree import CONFIGURATION, environment, texts

YOURS = re.compile(r"(README|CHANGELOG)\.md|LICENSE|app/features/.+|tests/features/.+|migrations/versions/.+")
MARKER = "stand below this line"
ANSWERS: list[dict[str, Any]] = [{"extensions": []}, {"preset": "production", "database": "postgres"}]


def frozen() -> Callable[[str], bool]:
    """Return a function that tells whether an update leaves a path alone."""
    rendered = [
        environment().from_string(item).render(_copier_operation="update") for item in CONFIGURATION["_exclude"]
    ]
    return PathSpec.from_lines("gitignore", "\n".join(rendered).splitlines()).match_file


def test_a_copy_leaves_nothing_out() -> None:
    for item in CONFIGURATION["_exclude"]:
        assert not environment().from_string(item).render(_copier_operation="copy").strip()


@pytest.mark.parametrize("answers", grouped())
def test_an_update_opens_all_that_is_the_templates_and_nothing_else(answers: dict[str, Any], rendered: Render) -> None:
    root = rendered(**answers)
    excluded = frozen()
    for path in [path.relative_to(root).as_posix() for path in texts(root)]:
        yours = bool(YOURS.fullmatch(path)) and f"/{path}" not in CONFIGURATION["_skip_if_exists"]
        assert excluded(path) is yours, path


@pytest.mark.parametrize("answers", grouped())
def test_no_file_of_the_templates_is_git_ignored(answers: dict[str, Any], rendered: Render, tmp_path: Path) -> None:
    root = rendered(**answers)
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    command = ["git", f"--git-dir={tmp_path}/.git", f"--work-tree={root}", "check-ignore", "--no-index", "--stdin"]
    paths = "\n".join(path.relative_to(root).as_posix() for path in texts(root))
    done = subprocess.run(command, input=paths, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 1, f"an owner's edit to these would be lost: {done.stdout}{done.stderr}"


def test_the_lock_file_and_secrets_are_never_rendered(rendered: Render) -> None:
    paths = {path.name for path in texts(rendered())}
    assert not {"uv.lock", ".env", "local.mk"} & paths


def test_secrets_and_local_files_are_git_ignored(rendered: Render, tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_text((rendered() / ".gitignore").read_text())
    git(tmp_path, "init", "--quiet")
    assert git(tmp_path, "check-ignore", ".env", "local.mk", ".venv", ".uv", "var/service.db").split()


@pytest.mark.parametrize(
    ("name", "count"), [("pyproject.toml", 2), (".gitignore", 1), (".dockerignore", 1), (".env.example", 1)]
)
def test_a_shared_file_has_its_marker(name: str, count: int, rendered: Render) -> None:
    for answers in ANSWERS:
        assert (rendered(**answers) / name).read_text().count(MARKER) == count


def test_a_shared_file_ends_with_the_owners_part(rendered: Render) -> None:
    for name in (".gitignore", ".dockerignore", ".env.example"):
        assert MARKER in (rendered() / name).read_text().splitlines()[-1]


@pytest.mark.parametrize("answers", ANSWERS, ids=label)
def test_uv_add_puts_a_dependency_below_the_marker(answers: dict[str, Any], template: Path, tmp_path: Path) -> None:
    root = copy(template, tmp_path / "service", **answers)
    before = (root / "pyproject.toml").read_text()
    for arguments in (["aaa", "zzz", "httpx"], ["--dev", "aab", "zzy"]):
        environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        command = ["uv", "add", "--frozen", "--quiet", *arguments]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environ)
        assert done.returncode == 0, done.stderr
    lines = (root / "pyproject.toml").read_text().splitlines()
    first, second = (number for number, line in enumerate(lines) if MARKER in line)
    assert [line.strip(' ",') for line in lines[first + 1 : first + 4]] == ["aaa", "zzz", "httpx"]
    assert [line.strip(' ",') for line in lines[second + 1 : second + 3]] == ["aab", "zzy"]
    left = [line for line in lines if line.strip(' ",') not in {"aaa", "zzz", "httpx", "aab", "zzy"}]
    assert left == before.splitlines()


def test_the_lists_are_unsorted_and_long_enough_for_uv_to_append(rendered: Render) -> None:
    project = tomllib.loads((rendered(extensions=[]) / "pyproject.toml").read_text())
    for entries in (project["project"]["dependencies"], project["dependency-groups"]["dev"]):
        assert len(entries) >= 2
        assert [entry.lower() for entry in entries] != sorted(entry.lower() for entry in entries)


def test_the_makefile_has_a_seam_for_the_owner(rendered: Render) -> None:
    assert (rendered() / "Makefile").read_text().splitlines()[-1] == "-include local.mk"


def test_what_an_update_never_opens_depends_on_no_option(rendered: Render) -> None:
    plain, full = rendered(**ANSWERS[0]), rendered(**ANSWERS[1])
    for name in [path.relative_to(plain).as_posix() for path in texts(plain)]:
        if YOURS.fullmatch(name):
            assert (plain / name).read_text() == (full / name).read_text(), f"{name} would be wrong after a toggle"
