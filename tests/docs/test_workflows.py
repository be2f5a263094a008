"""The workflows: valid, without known risks, and with no step that cannot be repeated in development."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Render
from tests.manifests import REPOSITORY
from tests.tree import CHOICES

WORKFLOW = Path(".github", "workflows", "ci.yml")
TOOLS = Path(sys.executable).parent


@pytest.fixture(params=[None, *CHOICES["database"]])
def root(request: pytest.FixtureRequest, rendered: Render) -> Path:
    """This repository, and a service on each database."""
    return rendered(ci="github", database=request.param) if request.param else REPOSITORY


@pytest.fixture
def workflow(root: Path) -> dict[str, Any]:
    """The workflow as data."""
    loaded: dict[str, Any] = yaml.safe_load((root / WORKFLOW).read_text())
    return loaded


def steps(workflow: dict[str, Any], key: str) -> list[str]:
    """Every `run` or `uses` of every job."""
    return [step[key] for job in workflow["jobs"].values() for step in job["steps"] if key in step]


def test_it_fits_the_schema_of_workflows(root: Path) -> None:
    command = [str(TOOLS / "check-jsonschema"), "--builtin-schema", "vendor.github-workflows", str(root / WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing(root: Path) -> None:
    command = [str(TOOLS / "zizmor"), "--offline", "--quiet", str(root / WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_action_is_pinned_by_commit_with_its_version(root: Path, workflow: dict[str, Any]) -> None:
    text = (root / WORKFLOW).read_text()
    assert steps(workflow, "uses")
    for action in steps(workflow, "uses"):
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.search(rf"{re.escape(action)} # v\d+\.\d+\.\d+$", text, re.MULTILINE)


def test_nothing_is_allowed_that_no_job_asks_for(workflow: dict[str, Any]) -> None:
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        assert job["timeout-minutes"] <= 90
        checkouts = [step for step in job["steps"] if step.get("uses", "").startswith("actions/checkout@")]
        assert [step["with"]["persist-credentials"] for step in checkouts] == [False]
    assert workflow["concurrency"]["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"


def test_every_step_is_a_command_of_the_makefile(root: Path, workflow: dict[str, Any]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    for command in steps(workflow, "run"):
        if command == ".ci/run":
            assert (root / command).stat().st_mode & 0o111
        else:
            assert command.removeprefix("make ") in targets


def test_a_service_is_linted_typed_tested_and_its_migrations_compared(rendered: Render) -> None:
    root = rendered(ci="github")
    run = steps(yaml.safe_load((root / WORKFLOW).read_text()), "run")
    assert set(run) == {"make check", "make test", "make migrate", "make check-migrations"}
    makefile = (root / "Makefile").read_text()
    recipes = dict(re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", makefile, re.MULTILINE))
    for needle in ("ruff format --check", "ruff check", "mypy", "lint-imports"):
        assert needle in recipes["check"]
    assert "\ncheck: settled " in makefile
    assert "conflict markers" in recipes["settled"]
    assert "--cov" in recipes["test"]
    assert "fail_under = 90" in (root / "pyproject.toml").read_text()
    assert "alembic check" in recipes["check-migrations"]


def test_a_server_stands_beside_the_tests_where_the_database_is_one(rendered: Render) -> None:
    one = yaml.safe_load((rendered(ci="github", database="postgres") / WORKFLOW).read_text())["jobs"]["test"]
    assert list(one["services"]) == ["postgres"]
    assert one["env"]["TEST_DATABASE_URL"].startswith("postgresql://")
    other = yaml.safe_load((rendered(ci="github", database="sqlite") / WORKFLOW).read_text())["jobs"]["test"]
    assert "services" not in other
    assert list(other["env"]) == ["UV_PYTHON"]


def test_the_tests_run_on_the_oldest_and_the_newest_python(rendered: Render) -> None:
    for version in CHOICES["python_version"]:
        job = yaml.safe_load((rendered(ci="github", python_version=version) / WORKFLOW).read_text())["jobs"]["test"]
        assert job["strategy"]["matrix"]["python"] == sorted({version, CHOICES["python_version"][-1]})


def test_without_it_no_workflow_is_left(rendered: Render) -> None:
    assert not (rendered(ci="none") / ".github").exists()
