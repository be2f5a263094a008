"""Keys made by the command, kept as a secrets file, rotated and revoked; what is wrong is a 401 and an event."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.extensions.sliced import sliced
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service

VAULTS = "/api/v1/vaults"
Made = tuple[str, dict[str, Any]]
"""A key, and what the service stores of it."""


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service that asks for keys."""
    return sliced(rendered, "vaults", extensions=["api_keys"])


@pytest.fixture
def start(service: Rendered, run: Run, tmp_path: Path) -> Callable[..., Service]:
    """Starts a process that finds these keys in its secrets directory."""

    def process(*stored: dict[str, Any]) -> Service:
        (tmp_path / "API_KEYS__KEYS").write_text("".join(f"{json.dumps(each)}\n" for each in stored))
        return run(service, SECRETS_DIR=str(tmp_path))

    return process


def make(service: Rendered, client: str, *options: str) -> Made:
    """Make a key as `make api-key` does."""
    command = [str(service.python), "-m", "app.extensions.api_keys", client, *options]
    done = subprocess.run(
        command, cwd=service.root, env=service.environment(), capture_output=True, text=True, check=True, timeout=BOUND
    )
    key, line = done.stdout.splitlines()
    return key, json.loads(line)


def ask(process: Service, key: str, method: str = "GET") -> httpx2.Response:
    """Send a request with a key."""
    return process.http.request(method, VAULTS, headers={"X-API-Key": key})


def test_whatever_is_wrong_with_a_key_it_is_the_same_401_and_a_security_event(
    service: Rendered, start: Callable[..., Service]
) -> None:
    key, stored = make(service, "billing", "--scope", "vaults:write", "--days", "30")
    reading, stored_reading = make(service, "reader")
    expired, stored_expired = make(service, "shop", "--days", "1")
    revoked, _ = make(service, "gone")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    process = start(stored, stored_reading, {**stored_expired, "expires": yesterday.isoformat()})
    assert ask(process, key).json() == "billing"
    assert ask(process, key, "POST").status_code == 200
    identifier, _, secret = key.partition(".")
    wrong = {
        "expired": (expired, "expired key"),
        "revoked": (revoked, "unknown key"),
        "another's secret": (f"{identifier}.{revoked.partition('.')[2]}", "wrong key"),
        "the stored hash": (f"{identifier}.{stored['sha256']}", "wrong key"),
        "no secret": (identifier, "wrong key"),
        "no id": (secret, "unknown key"),
        "nothing": ("", "unknown key"),
    }
    problems = []
    for kind, (given, reason) in wrong.items():
        answer = ask(process, given)
        assert answer.status_code == 401, kind
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == "ApiKey"
        problem = answer.json()
        told = process.logged(event="security event", correlation_id=problem["correlation_id"])
        assert [(line["name"], line["reason"]) for line in told] == [("authentication_failed", reason)], kind
        problems.append({name: problem[name] for name in problem if name not in {"correlation_id", "timestamp"}})
    assert all(problem == problems[0] for problem in problems)
    assert problems[0]["code"] == "api_key_invalid"
    refused = ask(process, reading, "POST")
    assert (refused.status_code, refused.json()["code"]) == (403, "api_key_insufficient")
    assert process.logged(event="security event", name="permission_denied", subject="reader")
    said = process.text()
    assert not [each for each in (key, reading, expired, revoked) if each.partition(".")[2] in said]
    assert not [each for each in (stored, stored_reading) if each["sha256"] in said]


def test_a_key_is_rotated_without_an_interruption(service: Rendered, start: Callable[..., Service]) -> None:
    (old, stored_old), (new, stored_new) = make(service, "billing"), make(service, "billing")
    both, after = start(stored_old, stored_new), start(stored_new)
    assert [ask(both, key).status_code for key in (old, new)] == [200, 200]
    assert [ask(after, key).status_code for key in (old, new)] == [401, 200]


def test_a_broken_line_stops_the_start_and_is_named(service: Rendered, tmp_path: Path) -> None:
    _, stored = make(service, "billing")
    (tmp_path / "API_KEYS__KEYS").write_text(json.dumps({**stored, "sha256": "not-a-hash-of-mine"}))
    done = service.run("app", settings={"SECRETS_DIR": str(tmp_path)})
    assert done.returncode == 2
    assert "API_KEYS__KEYS: key.1.sha256: " in done.stdout
    assert "not-a-hash-of-mine" not in done.stdout
