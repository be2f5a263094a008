"""docs/configuration.md and docs/api.md have every variable and every code that the service knows, and no other."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Render
from tests.docs.markdown import entries
from tests.live.environment import clean
from tests.tree import CHOICES

VARIABLES = """
import json
from pathlib import Path
from pydantic_core import PydanticUndefined
from app.main import SETTINGS

if Path("ops/__init__.py").exists():  # tools beside the service have settings of their own
    from ops import SETTINGS as TOOLS
    SETTINGS = [*SETTINGS, *TOOLS]


def shown(field):
    value = field.default
    if field.default_factory is not None:
        return "empty" if field.default_factory is dict else "from pyproject.toml"
    if value is PydanticUndefined:
        return "required"
    if value is None:
        return "unset"
    if value == () or value == "":
        return "empty"
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    return f"`{text.lower() if isinstance(value, bool) else text}`"


print(json.dumps([
    [f"`{group.group}__{name}`".upper(), shown(field), field.description]
    for group in SETTINGS for name, field in group.model_fields.items()
]))
"""
WITHOUT_A_SENTENCE = {
    "bad_request",
    "authentication_failed",
    "permission_denied",
    "not_found",
    "method_not_allowed",
    "request_timed_out",
    "already_exists",
    "conflict",
    "precondition_failed",
    "body_too_large",
    "business_rule_violated",
    "cursor_invalid",
    "validation_failed",
    "value_missing",
    "value_refused",
    "precondition_required",
    "rate_limited",
    "headers_too_large",
    "follow_up_failed",
    "external_service_failed",
    "database_failed",
    "database_unreachable",
    "outcome_unknown",
    "lock_taken",
    "lock_unavailable",
    "api_key_invalid",
    "token_missing",
    "keys_unavailable",
    "form_unreadable",
    "upload_not_found",
    "files_too_many",
    "file_too_large",
    "files_missing",
    "file_empty",
    "storage_failed",
    "storage_full",
    "call_failed",
    "jobs_unavailable",
    "answer_not_kept",
    "request_in_progress",
    "idempotency_key_reused",
    "unit_unknown",
    "api_key_insufficient",
    "scope_insufficient",
    "service_unavailable",
    "calls_exhausted",
}
"""Codes whose name, or another section of the pages, says what their sentence would."""
CODES = """
import json
import app.main
from app.core.errors import ConfigurationInvalid, ServiceError


def below(error):
    for one in error.__subclasses__():
        yield one
        yield from below(one)


def meaning(error):
    text = error.__doc__ or f"{error.message}."
    return text[0].upper() + text.splitlines()[0][1:]


print(json.dumps([
    [f"`{error.code}`", str(error.status), meaning(error)]
    for error in below(ServiceError)
    if error is not ConfigurationInvalid and not error.__module__.startswith("app.features")
]))
"""


def asked(python: Path, root: Path, script: str) -> list[list[str]]:
    """Run a script inside a service, and return the rows that it prints."""
    done = subprocess.run([python, "-c", script], cwd=root, env=clean(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed: list[list[str]] = json.loads(done.stdout)
    return listed


def compared(listed: list[list[str]], known: list[list[str]]) -> str:
    """Return what has to change on a page: the lines that are missing, and those that are not true."""
    missing = [f"write: - {name} ({value}): {text}" for name, value, text in known if [name, value, text] not in listed]
    wrong = [f"strike: - {' '.join(row)}" for row in listed if row not in known or listed.count(row) > 1]
    return "\n".join([*missing, *wrong])


@pytest.fixture(params=CHOICES["database"])
def service(request: pytest.FixtureRequest, rendered: Render) -> Path:
    """A service with everything enabled, on each database."""
    return rendered(database=request.param, preset="production")


def test_every_variable_is_listed_with_its_default_and_its_meaning(service: Path, python: Path) -> None:
    listed = entries((service / "docs" / "configuration.md").read_text())
    known = asked(python, service, VARIABLES)
    assert compared(listed, known) == ""


def test_the_example_has_only_variables_that_are_listed(service: Path) -> None:
    listed = {row[0].strip("`") for row in entries((service / "docs" / "configuration.md").read_text())}
    example = (service / ".env.example").read_text()
    assert set(re.findall(r"^(?:# )?([A-Z]+__[A-Z_]+)=", example, re.MULTILINE)) <= listed


def test_every_code_is_listed_with_its_status_and_its_meaning(service: Path, python: Path) -> None:
    listed = entries((service / "docs" / "api.md").read_text())
    known = [
        [code, status, "" if code.strip("`") in WITHOUT_A_SENTENCE else text]
        for code, status, text in asked(python, service, CODES)
    ]
    assert compared(listed, known) == ""
    assert {code.strip("`") for code, *_ in known} >= WITHOUT_A_SENTENCE


def test_only_what_is_ticked_is_documented(rendered: Render) -> None:
    page = (rendered(extensions=[]) / "docs" / "configuration.md").read_text()
    groups = {row[0].strip("`").split("__")[0] for row in entries(page)}
    assert groups == {"SERVICE", "SERVER", "WEBSOCKETS", "HTTP", "LOG", "HEALTH", "LIFECYCLE", "DATABASE"}
