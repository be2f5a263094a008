"""Tokens that must not open anything, and an issuer that rotates its keys, lies, stands still or is killed."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.extensions.fake_upstream import FakeUpstream, serve
from tests.extensions.sliced import SLICES, sliced
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, Service

PROFILES = "/api/v1/profiles"
WRONG = {
    "forged": "InvalidSignatureError",
    "forged, of a key of its own": "unknown key",
    "expired": "ExpiredSignatureError",
    "not yet": "ImmatureSignatureError",
    "for another audience": "InvalidAudienceError",
    "of another issuer": "InvalidIssuerError",
    "alg none": "InvalidAlgorithmError",
    "alg none with a signature": "InvalidAlgorithmError",
    "public key as secret": "InvalidAlgorithmError",
    "no token": "",
}
"""Tokens, and what the security event says of each."""


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service that asks for tokens."""
    return sliced(rendered, "profiles", extensions=["jwt"])


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[FakeUpstream]:
    """The issuer, in a process of its own."""
    with serve(tmp_path / "issuer") as fake_upstream:
        document = {"issuer": fake_upstream.url, "jwks_uri": f"{fake_upstream.url}/keys"}
        fake_upstream.answer("/.well-known/openid-configuration", document)
        yield fake_upstream


@pytest.fixture
def made(issuer: FakeUpstream, service: Rendered) -> dict[str, dict[str, Any]]:
    """Its keys and tokens, by their names; it has published the first key."""
    command = [str(service.python), str(SLICES / "tokens.py"), issuer.url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=BOUND).stdout
    found: dict[str, dict[str, Any]] = json.loads(printed)
    issuer.answer("/keys", {"keys": [found["keys"]["first"]]})
    return found


@pytest.fixture
def start(service: Rendered, run: Run, issuer: FakeUpstream) -> Callable[[], Service]:
    """Starts a process that believes the issuer, and asks it for its keys once a second."""
    settings = {"JWT__ISSUER": issuer.url, "JWT__AUDIENCE": "api", "JWT__REFRESH_INTERVAL": "1"}
    return lambda: run(service, **settings)


def ask(process: Service, token: str, method: str = "GET") -> httpx2.Response:
    """Send a request with a token."""
    return process.http.request(method, PROFILES, headers={"Authorization": f"Bearer {token}"})


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_whatever_is_wrong_with_a_token_it_is_the_same_401_and_a_security_event(
    start: Callable[[], Service], made: dict[str, dict[str, Any]]
) -> None:
    process, tokens = start(), made["tokens"]
    assert set(WRONG) | {"first", "second", "writing"} == set(tokens)
    assert ask(process, tokens["first"]).json() == "ada"
    problems = []
    for kind, reason in WRONG.items():
        answer = ask(process, tokens[kind])
        assert answer.status_code == 401, kind
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        problem = answer.json()
        told = process.logged(event="security event", correlation_id=problem["correlation_id"])
        assert [line["name"] for line in told] == ["authentication_failed"], kind
        assert told[0]["reason"] == reason or not reason, kind
        problems.append({key: problem[key] for key in problem if key not in {"correlation_id", "timestamp"}})
    assert all(problem == problems[0] for problem in problems)
    assert problems[0]["code"] == "token_invalid"
    assert ask(process, tokens["first"], "POST").json()["code"] == "scope_insufficient"
    assert ask(process, tokens["writing"], "POST").status_code == 200
    said = process.text()
    assert not [kind for kind, token in tokens.items() if kind != "no token" and token in said]


def test_keys_rotate_while_the_service_runs(
    start: Callable[[], Service], issuer: FakeUpstream, made: dict[str, dict[str, Any]]
) -> None:
    process, keys, tokens = start(), made["keys"], made["tokens"]
    assert ask(process, tokens["first"]).status_code == 200
    issuer.answer("/keys", {"keys": [keys["first"], keys["second"]]})
    until(lambda: ask(process, tokens["second"]).status_code == 200, "the new key opens")
    assert ask(process, tokens["first"]).status_code == 200
    issuer.answer("/keys", {"keys": [keys["second"]]})
    until(lambda: ask(process, tokens["first"]).status_code == 401, "the old key opens nothing any more")
    assert ask(process, tokens["second"]).status_code == 200


def test_an_issuer_in_trouble_hurts_nobody_whose_key_is_known(
    start: Callable[[], Service], issuer: FakeUpstream, made: dict[str, dict[str, Any]]
) -> None:
    process, tokens = start(), made["tokens"]
    right = {"keys": [made["keys"]["first"]]}
    lie = {"keys": [{"kty": "oct", "kid": "first", "k": "c2VjcmV0" * 8, "alg": "HS256"}]}

    def slow() -> None:
        issuer.answer("/keys", right, held=True)

    troubles: list[tuple[Callable[[], None], Callable[[], None]]] = [
        (lambda: issuer.answer("/keys", "<html>maintenance</html>"), lambda: issuer.answer("/keys", right)),
        (lambda: issuer.answer("/keys", lie), lambda: issuer.answer("/keys", right)),
        (lambda: issuer.answer("/keys", {}, status=500), lambda: issuer.answer("/keys", right)),
        (slow, lambda: issuer.answer("/keys", right)),
        (issuer.freeze, issuer.thaw),
        (issuer.kill, issuer.start),
    ]
    assert ask(process, tokens["first"]).status_code == 200
    for number, (begin, end) in enumerate(troubles, start=1):
        begin()
        wait_for(process, "the issuer's keys cannot be fetched", number)
        assert ask(process, tokens["first"]).status_code == 200
        assert ask(process, tokens["forged"]).status_code == 401
        assert process.http.get("/health/ready").status_code == 200
        end()
        wait_for(process, "the issuer's keys can be fetched again", number)


def wait_for(process: Service, text: str, times: int) -> None:
    """Wait until the log has said something so often."""
    until(lambda: sum(text in line["event"] for line in process.lines()) == times, f"{text}, {times} times")


def test_an_issuer_that_is_down_at_the_start_is_a_503_until_it_comes(
    start: Callable[[], Service], issuer: FakeUpstream, made: dict[str, dict[str, Any]]
) -> None:
    issuer.kill()
    process, token = start(), made["tokens"]["first"]
    answer = ask(process, token)
    assert (answer.status_code, answer.json()["code"]) == (503, "keys_unavailable")
    assert answer.headers["content-type"] == "application/problem+json"
    assert process.http.get(PROFILES).json()["code"] == "token_missing"
    issuer.start()
    until(lambda: ask(process, token).status_code == 200, "its keys are known")


def test_a_weak_secret_stops_the_start_with_one_line(service: Rendered) -> None:
    done = service.run("app", settings={"JWT__SECRET": "too-short-a-secret"})
    assert done.returncode == 2
    assert "JWT__SECRET needs 32 bytes for HS256" in done.stdout
    assert "too-short-a-secret" not in done.stdout
