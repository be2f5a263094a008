"""`make feature` and the page about tests: what they write is formatted, typed and green in services of each kind."""

import re
from typing import Any

import pytest

from tests.docs.markdown import blocks
from tests.live.conftest import Make
from tests.live.service import Rendered
from tests.manifests import EXTENSIONS
from tests.tree import CHOICES

EVERY_TYPE = (
    "email:str:unique name:str age:int? note:text? score:float paid:bool price:decimal born:date? seen:datetime "
    "token:uuid:unique"
)

INTERNAL = {"anyio_backend", "configured", "database_url", "new_database", "redis_server", "serve"}
"""Fixtures that others are made of."""


def succeed(service: Rendered, *command: str) -> str:
    """Run a module of the service's Python in development, and return what it prints."""
    settings = {"SERVICE__ENVIRONMENT": "development", "DATABASE__URL": service.database}
    done = service.run(*command, timeout=300, settings=settings)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("answers", "guard"),
    [
        pytest.param(
            {"database": "postgres", "extensions": ["jwt", "api_keys"], "response_format": "envelope"},
            "jwt",
            id="postgres-envelope-guarded",
        ),
        pytest.param({"database": "sqlite", "preset": "minimal", "sample": False}, "", id="sqlite-no-sample"),
    ],
)
def test_a_feature_with_each_type_is_whole_and_green(answers: dict[str, Any], guard: str, rendered: Make) -> None:
    service = rendered(copy=True, **answers)
    said = succeed(service, "dev.feature", "clients", EVERY_TYPE, "--guard", guard)
    assert 'make migration m="add clients"' in said
    assert "make migrate" in said
    succeed(service, "alembic", "revision", "--autogenerate", "-m", "add clients")
    if guard:  # docs/test_extending migrates and checks a feature of the other service
        succeed(service, "alembic", "upgrade", "head")
        succeed(service, "alembic", "check")
        service.make("check")
    covered = ["--cov=app/features/clients", "--cov-fail-under=100"]
    succeed(service, "pytest", "-q", "tests/features/test_clients.py", *covered)


@pytest.mark.timeout(600)
def test_each_snippet_of_the_page_about_tests_runs_and_each_fixture_is_there(rendered: Make) -> None:
    enabled = [name for name in CHOICES["extensions"] if (EXTENSIONS / name / "docs" / "testing.md").exists()]
    service = rendered(copy=True, migrated=False, extensions=enabled, delivery=[])
    page = (service.root / "docs" / "testing.md").read_text()
    names = {path.stem for path in (service.root / "tests" / "options").glob("*.py")}
    assert names <= set(enabled)
    snippets = [block.content for block in blocks(page) if block.language == "python"]
    written = [f"tests/features/test_snippet_{number}.py" for number in range(len(snippets))]
    for path, snippet in zip(written, snippets, strict=True):
        (service.root / path).write_text(snippet)
    succeed(service, "ruff", "check", "--fix", "tests")
    succeed(service, "mypy", "tests/features")
    ran = succeed(service, "pytest", "-q", *written)
    assert f"{len(snippets)} passed" in ran
    listed = succeed(service, "pytest", "--fixtures", "tests")
    shipped = set(re.findall(r"^(\w+)(?: \[.*?\])? -- tests/(?:options/|conftest)", listed, re.MULTILINE))
    told = set(re.findall(r"\w+", page))
    assert {"client", "start", "resources", "jwt_client", "run_jobs"} <= shipped
    assert shipped - INTERNAL <= told
