"""Redaction of secrets, which may never reach a log."""

import time
from dataclasses import dataclass
from typing import Any

import pytest

from app.core.errors import ConfigurationInvalid
from app.core.observability.redaction import HIDDEN, LONGEST_PATH, loggable_path, redact, scrub, secret_name
from app.main import refuse

LONG = (
    "input_value=",
    "{'type': 'a', 'loc': ",
    "a",
    "a.",
    "pass",
    "a-",
    "a://",
    "token=",
    " ",
    "basic ",
    "cookie",
    "'",
)


@dataclass
class Credentials:
    """An object that code logs."""

    user: str
    password: str


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db_password",
        "Authorization",
        "Cookie",
        "set-cookie",
        "X-API-Key",
        "apiKey",
        "access_token",
        "secret",
    ],
)
def test_a_secret_is_known_by_its_name(name: str) -> None:
    assert secret_name(name)
    assert redact("anything", name) == HIDDEN


@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "max_tokens", "author", "key", "status"])
def test_what_is_no_secret_stays(name: str) -> None:
    assert redact("anything", name) == "anything"


@pytest.mark.parametrize(
    "text",
    [
        "proto://user:s3cr3t@host/name",
        "/reset/token=s3cr3t",
        "/reset/token:s3cr3t/now",
        "  Input should be a valid integer [type=int_parsing, input_value='s3cr3t', input_type=str]",
        "  Field required [type=missing, input_value={'pin': 's3cr3t, input_type=s3cr3t'}, input_type=dict]",
        "  {'type': 'missing', 'loc': ('response', 'id'), 'msg': 'Field required', 'input': {'pin': 's3cr3t'}}",
        "amqp://:s3cr3t@host",
        "Authorization: Bearer s3cr3t.s3cr3t",
        'Authorization: Digest user="me", response="s3cr3t"',
        "authorization: token s3cr3t",
        "Basic czNjcjN0s3cr3t",
        "Cookie: theme=dark; session=s3cr3t",
        "GET /login?user=me&token=s3cr3t",
        "https://host/?a=1&api_key=s3cr3t&b=2",
        '{"password": "s3cr3t"}',
        '{"password": "a \\"quoted\\" s3cr3t"}',
        "password='correct horse s3cr3t'",
        "{'client_secret': b's3cr3t'}",
        "Credentials(user='me', password='s3cr3t')",
    ],
)
def test_a_secret_in_a_text_is_hidden(text: str) -> None:
    assert "s3cr3t" not in scrub(text)
    assert "s3cr3t" not in scrub(scrub(text))


@pytest.mark.parametrize("path", ["/orders/7", "/things:search"])
def test_the_path_of_a_request_stays(path: str) -> None:
    assert loggable_path(path) == path


def test_a_long_path_is_cut_off() -> None:
    assert loggable_path("/" + "a" * 60_000) == f"/{'a' * (LONGEST_PATH - 1)}..."
    assert loggable_path("/token=" + "a" * 60_000) == f"/token={HIDDEN}"


def test_the_rest_of_a_text_stays() -> None:
    assert scrub("GET /login?user=me&token=abc&page=2") == f"GET /login?user=me&token={HIDDEN}&page=2"
    assert scrub("proto://me:abc@host/name") == f"proto://me:{HIDDEN}@host/name"
    assert scrub("a plain line: nothing in it") == "a plain line: nothing in it"


@pytest.mark.parametrize(
    "value",
    [
        {"outer": [{"password": "s3cr3t"}]},
        {"headers": {"Authorization": "s3cr3t"}},
        {"headers": [("cookie", "s3cr3t")]},
        {"headers": [(b"authorization", b"s3cr3t")]},
        {"body": b'{"password": "s3cr3t"}'},
        {"error": ValueError("token=s3cr3t")},
        {"who": Credentials("me", "s3cr3t")},
    ],
)
def test_a_secret_is_hidden_at_every_depth(value: Any) -> None:
    assert "s3cr3t" not in str(redact(value))


def test_what_is_redacted_stays_what_it_was() -> None:
    value = {"n": 1, "x": None, "ok": True, "list": [1, 2.5, "text"], 7: {"deep": "er"}}
    assert redact(value) == value


def test_what_is_wrong_with_a_secret_setting_is_said_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    mistakes = ConfigurationInvalid("THING__SECRET: still holds the placeholder", "THING__TOKEN: a password=abc")
    assert refuse(mistakes) == 2
    said = capsys.readouterr().out
    assert "THING__SECRET: still holds the placeholder" in said
    assert f"THING__TOKEN: a password={HIDDEN}" in said


@pytest.mark.parametrize("text", LONG)
def test_a_long_line_takes_no_long_time(text: str) -> None:
    started = time.process_time()
    scrub(text * (20_000 // len(text)))
    secret_name(text * (20_000 // len(text)))
    assert time.process_time() - started < 0.5
