"""`groundwork new` and `make new`: a whole service with its first commit, or nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from groundwork.errors import Refused, plain
from groundwork.new import new
from tests.conftest import copy
from tests.generator.synthetic import clone
from tests.matrix.test_render import tree
from tests.releases import NEXT, git


def program(*arguments: str | Path, folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """The program as a user runs it, without a terminal."""
    command = [sys.executable, "-m", "groundwork", *map(str, arguments)]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environ},
    )


def test_a_service_has_its_first_commit_and_the_next_steps_are_printed(template: Path, tmp_path: Path) -> None:
    done = program("new", "my shop", "--defaults", "--template", template, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1:] == [
        f"my shop is ready, from Groundwork {NEXT}. Next:",
        "",
        "  cd 'my shop'",
        "  make setup",
        "  make dev",
        "",
    ]
    root = tmp_path / "my shop"
    assert git(root, "log", "--format=%s") == f"Start my-service from Groundwork {NEXT}\n"
    assert git(root, "status", "--porcelain") == ""
    assert git(root, "branch", "--show-current") == "main\n"
    assert [path.name for path in tmp_path.iterdir()] == ["my shop"], "the temporary folder is gone"


def test_the_program_writes_what_plain_copier_writes(template: Path, tmp_path: Path) -> None:
    data = {"database": "postgres", "sample": "no"}
    new(tmp_path / "new", template=str(template), folder=tmp_path, data=dict(data), defaults=True, repository=False)
    assert tree(tmp_path / "new") == tree(copy(template, tmp_path / "copy", **data))


def test_a_machine_without_a_name_for_git_gets_its_commit_too(template: Path, tmp_path: Path) -> None:
    bare = {"HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "EMAIL": ""}
    bare |= {name: "" for name in os.environ if name.startswith(("GIT_AUTHOR_", "GIT_COMMITTER_"))}
    done = program("new", "shop", "--defaults", "--template", template, folder=tmp_path, **bare)
    assert done.returncode == 0, done.stderr
    assert git(tmp_path / "shop", "log", "--format=%s").startswith("Start my-service")


def test_answers_come_from_a_file_and_the_command_line_goes_before_it(template: Path, tmp_path: Path) -> None:
    (tmp_path / "answers.yml").write_text(
        "project_name: Harbour\nextensions: []\npython_version: 3.12\nsample: false\n"
    )
    arguments = ["--defaults", "--template", str(template), "--data-file", "answers.yml", "-d", "project_name=Pier"]
    done = program("new", *arguments, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    recorded = yaml.safe_load((tmp_path / "pier" / ".copier-answers.yml").read_text())
    assert recorded["project_name"] == "Pier"
    assert recorded["extensions"] == []
    assert recorded["python_version"] == "3.12"
    assert recorded["sample"] is False


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["new", "full"], 1, "full is not empty: give the path of a new folder"),
        (["new", "full/note"], 1, "full/note is a file: give the path of a new folder"),
        (["new", "x", "--data", "sample"], 1, "--data sample has no answer: write --data sample=answer"),
        (["new", "x", "--data-file", "none.yml"], 1, "there is no file none.yml: --data-file takes a YAML file"),
        (
            ["new", "x", "--data-file", "full/note"],
            1,
            "full/note holds no answers: write one",
        ),
        (["new", "x", "--data-file", "bad.yml"], 1, "while parsing"),
        (["new", "x", "--vcs-ref", "v0.0.1-no"], 1, "Unknown revision: 'v0.0.1-no'"),
        (["new", "x"], 1, "Use `--defaults` and/or `--data`/`--data-file`"),
        (["new", "x", "--date", "a=b"], 2, "--date"),
        (["old"], 2, "old"),
        ([], 2, "COMMAND"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    arguments: list[str], status: int, said: str, template: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine\n")
    (tmp_path / "bad.yml").write_text("a: [b\n")
    before = tree(tmp_path)
    extra = ["--template", str(template)] if arguments[:1] == ["new"] else []
    done = program(*arguments, *extra, folder=tmp_path)
    assert done.returncode == status, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning: Input is not a terminal")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("groundwork")
    assert said in lines[0]
    assert done.stdout == ""
    assert tree(tmp_path) == before


def test_an_empty_folder_is_taken_and_a_missing_parent_is_made(template: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for destination in (tmp_path / "empty", tmp_path / "deep" / "er" / "service"):
        made = new(destination, template=str(template), folder=tmp_path, data={}, defaults=True)
        assert (made.path / "pyproject.toml").is_file()
        assert git(made.path, "status", "--porcelain") == ""


def test_a_derived_destination_that_is_taken_is_refused(template: Path, tmp_path: Path) -> None:
    (tmp_path / "my-service").mkdir()
    (tmp_path / "my-service" / "note").write_text("mine\n")
    with pytest.raises(Refused, match="my-service is not empty"):
        new(None, template=str(template), folder=tmp_path, data={}, defaults=True)
    assert [path.name for path in tmp_path.iterdir()] == ["my-service"]


def test_a_template_that_wants_trust_is_refused(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    (root / "copier.yml").open("a").write("_tasks: [touch pwned]\n")
    git(root, "commit", "--all", "--quiet", "--message=x")
    with pytest.raises(Refused, match="wants to run code, which"):
        new(tmp_path / "service", template=str(root), ref="HEAD", folder=tmp_path, data={}, defaults=True)


def test_make_new_writes_a_service_beside_the_checkout(template: Path, tmp_path: Path) -> None:
    root = clone(template, tmp_path / "groundwork")
    arguments = ["ARGS=--defaults --data database=postgres --data project_name=Pier"]
    environ = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "MAKEFLAGS"}}
    command = ["make", "--no-print-directory", "new", *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stderr
    assert f"  cd {tmp_path / 'pier'}\n  make setup\n  make dev\n" in done.stdout
    recorded = yaml.safe_load((tmp_path / "pier" / ".copier-answers.yml").read_text())
    assert recorded["_src_path"] == str(root)
    assert recorded["database"] == "postgres"
    assert git(root, "status", "--porcelain") == "", "make new leaves the checkout clean"
    again = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=environ)
    assert again.returncode != 0
    assert "pier is not empty" in again.stderr


def test_a_guards_message_loses_copiers_prefix_whatever_its_quotes() -> None:
    for message in ("plain", "it's", 'say "hi"', 'it\'s "both"', "back\\slash"):
        assert plain(f"'dict object' has no attribute {message!r}") == message
    assert plain("two\n lines ") == "two lines"
