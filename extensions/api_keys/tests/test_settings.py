"""The stored keys: where they are read from, and what stops the start."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.extensions.api_keys import ApiKeysSettings
from app.extensions.api_keys.__main__ import main
from app.extensions.api_keys.keyring import Keyring
from tests.extensions.api_keys.conftest import made

GOOD = {"client": "billing", "id": "ak_0123456789ab", "sha256": "0" * 64}


def read() -> tuple[str, ...]:
    """The clients whose keys the environment has."""
    return tuple(key.client for key in load([ApiKeysSettings], env_file=None).of(ApiKeysSettings).keys)


def test_keys_are_a_json_list_or_one_object_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = made("billing").line, made("shop").line
    for text in (f"[{one}, {two}]", f"\n{one}\n\n{two}\n"):
        monkeypatch.setenv("API_KEYS__KEYS", text)
        assert read() == ("billing", "shop")
    monkeypatch.setenv("API_KEYS__KEYS", "")
    assert read() == ()


def test_keys_may_stand_in_a_secrets_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "API_KEYS__KEYS").write_text(f"{made('billing').line}\n{made('shop').line}\n")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    assert read() == ("billing", "shop")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("no json", "is no JSON list, nor one JSON object a line"),
        ("[" * 100_000, "is no JSON list, nor one JSON object a line"),
        ([GOOD, 1], "key.2: "),
        ([{**GOOD, "sha256": made().key}], "key.1.sha256"),
        ([{**GOOD, "id": "billing"}], "key.1.id"),
        ([{**GOOD, "client": ""}], "key.1.client"),
        ([{**GOOD, "key": made().key}], "key.1.key: Extra inputs"),
        ([{**GOOD, "scopes": ["two words"]}], "key.1.scopes.0"),
        ([{**GOOD, "expires": "tomorrow"}], "key.1.expires"),
        ([{**GOOD, "expires": "2030-01-01T00:00:00"}], "key.1.expires: Input should have timezone info"),
        ([{**GOOD}, {**GOOD, "client": "shop"}], "ak_0123456789ab is there twice"),
    ],
)
def test_wrong_keys_stop_the_start_by_name_and_are_not_shown(
    monkeypatch: pytest.MonkeyPatch, entries: Any, said: str
) -> None:
    text = entries if isinstance(entries, str) else json.dumps(entries)
    monkeypatch.setenv("API_KEYS__KEYS", text)
    with pytest.raises(ConfigurationInvalid) as refused:
        read()
    (line,) = refused.value.mistakes
    assert line.startswith("API_KEYS__KEYS: ")
    assert said in line
    assert text not in line
    assert ".".join(made().key.split(".")[1:]) not in line


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command of `make api-key`, and return its exit status."""
    monkeypatch.setattr(sys, "argv", ["api_keys", *arguments])
    return main()


def test_the_command_makes_a_key_that_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scopes = ["--scope", "notes:write", "--scope", "notes:read"]
    assert command(monkeypatch, "billing", *scopes, "--days", "30") == 0
    said = capsys.readouterr()
    key, line = said.out.splitlines()
    assert key.partition(".")[2] not in line + said.err
    monkeypatch.setenv("API_KEYS__KEYS", line)
    keys = load([ApiKeysSettings], env_file=None).of(ApiKeysSettings).keys
    found = Keyring(keys).find(key)
    assert (found.client, found.scopes) == ("billing", ("notes:read", "notes:write"))
    assert found.expires is not None
    assert timedelta(days=29) < found.expires - datetime.now(UTC) < timedelta(days=30, seconds=1)


def test_the_command_makes_another_key_each_time() -> None:
    run = [sys.executable, "-m", "app.extensions.api_keys", "billing"]
    made = {subprocess.run(run, capture_output=True, check=True, timeout=30).stdout for _ in range(2)}  # noqa: S603
    assert len(made) == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["two words"], "client: "),
        (["billing", "--scope", "two words"], "scopes: "),
        (["billing", "--days", "999999999999"], "--days: 999999999999 is not a number of days"),
        (["billing", "--days", "0"], "--days: 0 is not a number of days"),
        (["billing", "--days", "soon"], "--days: soon is not a number of days"),
    ],
)
def test_the_command_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_make_api_key_runs_the_command() -> None:
    def dry(*arguments: str) -> subprocess.CompletedProcess[str]:
        run = ["make", "--no-print-directory", "--dry-run", "api-key", *arguments]  # the developer's make
        return subprocess.run(run, capture_output=True, text=True, check=False, timeout=30)  # noqa: S603

    done = dry("client=billing", "scopes=notes:read notes:write", "days=7")
    rest = '"billing" --scope "notes:read" --scope "notes:write" --days "7"'
    assert " ".join(done.stdout.split()).endswith(f"-m app.extensions.api_keys {rest}")
    assert "missing client=NAME" in dry().stderr
