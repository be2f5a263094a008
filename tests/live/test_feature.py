"""`make feature`: what it writes is formatted, typed, migrated and green in services of each kind."""

from typing import Any

import pytest

from tests.live.conftest import Make
from tests.live.service import Rendered

EVERY_TYPE = (
    "email:str:unique name:str age:int? note:text? score:float paid:bool price:decimal born:date? seen:datetime "
    "token:uuid:unique"
)


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
    succeed(service, "alembic", "upgrade", "head")
    succeed(service, "alembic", "check")
    if guard:  # docs/test_extending checks a feature of the other service
        service.make("check")
    covered = ["--cov=app/features/clients", "--cov-fail-under=100"]
    succeed(service, "pytest", "-q", "tests/features/test_clients.py", *covered)
