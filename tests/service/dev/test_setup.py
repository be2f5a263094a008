"""`python -m dev`: what a desk starts from."""

import sys
from pathlib import Path

import pytest

from dev.__main__ import run, setup

EXAMPLE = "# each change-me is replaced\nA__KEY=change-me\n# B__KEY=change-me\nC__PORT=1\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an example alone."""
    (tmp_path / ".env.example").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_setup_writes_secrets_where_a_secret_belongs(folder: Path) -> None:
    assert setup() == 0
    comment, first, second, port = (folder / ".env").read_text().splitlines()
    assert (comment, port) == ("# each change-me is replaced", "C__PORT=1")
    assert first.startswith("A__KEY=")
    assert second.startswith("# B__KEY=")
    one, other = first.partition("=")[2], second.partition("=")[2]
    assert one != other
    assert min(len(one), len(other)) >= 32
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600


def test_setup_leaves_what_is_there(folder: Path) -> None:
    (folder / ".env").write_text("A__KEY=mine\n")
    assert setup() == 0
    assert (folder / ".env").read_text() == "A__KEY=mine\n"


def test_a_command_gives_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE__URL", "proto://given")  # what is given is not started
    assert run([sys.executable, "-c", "raise SystemExit(7)"]) == 7
