"""An issuer that answers what cannot be true: what was known before serves on."""

import json
from typing import Any

import pytest

from app.extensions.jwt import keys
from tests.extensions.jwt.conftest import Trusting, until, warm, whoami
from tests.extensions.jwt.issuer import Issuer


def lies(issuer: Issuer) -> dict[str, dict[str, bytes]]:
    """Return the false claims of an issuer: for each case, the content that it serves by path."""
    discovery = "/.well-known/openid-configuration"
    (key,) = issuer.jwks()
    secret = {"kty": "oct", "kid": "first", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "alg": "HS256"}

    def listing(*entries: Any) -> dict[str, bytes]:
        return {"/keys": json.dumps({"keys": entries}).encode()}

    return {
        "no JSON": {"/keys": b"<html>maintenance</html>"},
        "nothing": {"/keys": b""},
        "nested deep": {"/keys": b"[" * 100_000},
        "not UTF": {"/keys": b'{"keys": "\xff\xfe\x00"}'},
        "a list": {"/keys": b"[]"},
        "no keys": listing(),
        "keys are no list": {"/keys": b'{"keys": {"a": 1}}'},
        "keys are no objects": listing(1, None, "key", []),
        "a shared secret": listing(secret),
        "for encryption": listing({**key, "use": "enc"}),
        "broken": listing(
            {**key, "n": "!"}, {**key, "n": 1}, {**key, "e": None}, {"kty": ["RSA"]}, {**key, "alg": ["RS256"]}
        ),
        "of another algorithm": listing({**key, "alg": "RS512"}),
        "without end": {"/keys": json.dumps({"keys": [key] * 2000}).encode()},
        "of another issuer": {discovery: json.dumps({"issuer": "x", "jwks_uri": f"{issuer.url}/keys"}).encode()},
        "keys nowhere": {discovery: json.dumps({"issuer": issuer.url}).encode()},
        "keys in a file": {discovery: json.dumps({"issuer": issuer.url, "jwks_uri": "file:///etc/passwd"}).encode()},
        "keys at no URL": {discovery: json.dumps({"issuer": issuer.url, "jwks_uri": "http://[::1/keys"}).encode()},
    }


async def test_a_lie_changes_nothing(
    issuer: Issuer, trusting: Trusting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN", 0.02)
    client = await warm(trusting, issuer, refresh_interval=0.02)
    token = issuer.token()
    for kind, answers in lies(issuer).items():
        caplog.clear()
        issuer.answers = answers
        await until(lambda: "cannot be fetched" in caplog.text, kind)
        assert (await whoami(client, token)).status_code == 200, kind
        issuer.answers = {}
        await until(lambda: "can be fetched again" in caplog.text)


async def test_an_error_or_a_redirection_is_no_answer(
    issuer: Issuer, trusting: Trusting, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keys, "COOLDOWN", 0.02)
    client = await warm(trusting, issuer, refresh_interval=0.02)
    for status in (500, 404, 302, 204):
        caplog.clear()
        issuer.status = status
        await until(lambda: "cannot be fetched" in caplog.text)
        assert (await whoami(client, issuer.token())).status_code == 200
        issuer.status = 200
        await until(lambda: "can be fetched again" in caplog.text)
