"""The settings of tokens: a shared secret, and what stops the start."""

import subprocess
import sys
import time
from typing import Any

import jwt
import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.extensions.jwt import JwtSettings
from tests.extensions.jwt.conftest import Trusting, whoami

SECRET = "s" * 64
ISSUER = {"issuer": "https://id.example.com", "audience": "api"}


def signed(algorithm: str = "HS256", **claims: Any) -> str:
    """A token by the shared secret."""
    return jwt.encode({"sub": "ada", "exp": int(time.time()) + 3600, **claims}, SECRET, algorithm=algorithm)


@pytest.mark.parametrize(
    ("settings", "token", "status"),
    [
        ({}, signed(), 200),
        ({}, signed("HS512"), 401),
        ({"algorithms": "HS256,HS512"}, signed("HS512"), 200),
        ({"algorithms": "HS512"}, signed(), 401),
        ({}, signed(aud="api"), 401),
        ({"audience": "api"}, signed(aud=["api", "other"]), 200),
        ({"audience": "api"}, signed(), 401),
        ({"issuer": "me"}, signed(iss="me"), 200),
        ({"issuer": "me"}, signed(), 401),
        ({}, jwt.encode({"sub": "ada", "exp": int(time.time()) + 3600}, "t" * 64), 401),
        ({}, jwt.encode({"sub": "ada"}, SECRET), 401),
    ],
)
async def test_a_shared_secret_lets_its_tokens_in(
    trusting: Trusting, settings: dict[str, str], token: str, status: int
) -> None:
    assert (await whoami(await trusting(secret=SECRET, **settings), token)).status_code == status


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"secret": "s" * 31}, "JWT__SECRET needs 32 bytes for HS256"),
        ({"secret": "s" * 63, "algorithms": "HS256,HS512"}, "JWT__SECRET needs 64 bytes"),
        ({"secret": "change-me" + "s" * 32}, "JWT__SECRET: still holds the placeholder"),
        ({"secret": SECRET, "algorithms": "none"}, "JWT__ALGORITHMS has none: with a secret there are HS256"),
        ({"secret": SECRET, "algorithms": "HS256,RS256"}, "JWT__ALGORITHMS has RS256: with a secret there are HS256"),
        ({**ISSUER, "algorithms": "HS256,RS256"}, "JWT__ALGORITHMS has HS256: with an issuer's keys there are RS256"),
        ({**ISSUER, "algorithms": "none"}, "JWT__ALGORITHMS has none"),
        ({"issuer": "https://id.example.com"}, "JWT__AUDIENCE is required"),
        ({"issuer": "id", "audience": "api"}, "set JWT__JWKS_URL"),
        ({"jwks_url": "https://id.example.com/keys", "audience": "api"}, "JWT__ISSUER is required"),
        ({**ISSUER, "jwks_url": "file:///etc/passwd"}, "JWT__JWKS_URL: has to look like"),
        ({"secret": SECRET, "jwks_url": "https://id.example.com/keys"}, "exclude each other"),
        ({"secret": SECRET, **ISSUER}, "unset the secret to use the issuer's keys"),
        ({**ISSUER, "leeway": "86400"}, "JWT__LEEWAY: "),
        ({**ISSUER, "timeout": "60"}, "JWT__TIMEOUT: "),
    ],
)
def test_wrong_settings_stop_the_start_by_name(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], said: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(f"JWT__{name.upper()}", value)
    with pytest.raises(ConfigurationInvalid) as refused:
        load([JwtSettings], env_file=None)
    (line,) = refused.value.mistakes
    assert said in line
    assert "sss" not in line


def test_an_unused_option_imports_nothing_heavy() -> None:
    code = "import sys, app.extensions.jwt; sys.exit(any(name in sys.modules for name in ('jwt', 'cryptography')))"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0  # noqa: S603
