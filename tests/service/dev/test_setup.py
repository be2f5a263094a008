"""`python -m dev`: `.env` is written, completed and reviewed, and commands run with what they need."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dotenv import dotenv_values

from dev import env_file
from dev.__main__ import run
from dev.env_file import missing, setup
from tests.conftest import ROOT

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


ODD = [
    b"A__KEY=mine\nC__PORT=2\n",
    b"# mine\r\nexport A__KEY='two words # and more'\r\n\r\nC__PORT = 2",
    b'# C__PORT=1\nA__KEY="two\nlines"',
    b"#A__KEY=mine\nC__PORT=${HOME}",
]


@pytest.mark.parametrize("content", ODD)
def test_a_complete_file_stays_as_it_is(content: bytes, folder: Path) -> None:
    (folder / ".env").write_bytes(content)
    assert setup() == 0
    assert (folder / ".env").read_bytes() == content


@pytest.mark.parametrize("content", ODD)
def test_setup_adds_what_an_enabled_option_needs_and_names_it(
    content: bytes, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / ".env").write_bytes(content)
    (folder / ".env").chmod(0o640)
    with (folder / ".env.example").open("a") as example:
        example.write("\n# Tokens of its own.\nD__KEY=change-me\n# E__URL=proto://other\nE__URL=${C__PORT}\n")
    with (folder / ".env").open("ab") as file:
        file.write((b"" if content.endswith(b"\n") else b"\n") + b"# E__URL=proto://of-an-older-example")
    before = (folder / ".env").read_bytes()
    assert list(missing()) == ["D__KEY", "E__URL"]
    assert setup() == 0
    assert ".env: added D__KEY, E__URL; " in capsys.readouterr().out
    after = (folder / ".env").read_bytes()
    assert after.startswith(before)
    assert b"# Tokens of its own." in after
    assert after.endswith(b"\r\n") is (b"\r\n" in content)
    assert len(dotenv_values(folder / ".env")["D__KEY"] or "") >= 32
    assert (folder / ".env").stat().st_mode & 0o777 == 0o640
    assert setup() == 0
    assert (folder / ".env").read_bytes() == after


def test_a_variable_that_another_one_excludes_is_not_added(folder: Path) -> None:
    (folder / ".env").write_text("B__ISSUER=https://id.example.com\nC__PORT=1\n")
    (folder / ".env.example").write_text("# Only without B__ISSUER.\nB__SECRET=change-me\nC__PORT=1\n")
    assert missing() == {}
    (folder / ".env").write_text("C__PORT=1\n")
    assert list(missing()) == ["B__SECRET"]


def test_setup_names_what_no_option_reads_and_what_the_service_refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENV_FILE", str(folder / ".env"))
    (folder / ".env").write_text("A__KEY=mine\nC__PORT=1\nLOG__LEVEL=LOUD\nDATABASE__POOL_SIZE=4\nEDITOR=vi\n")
    assert setup() == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(".env: no enabled option reads A__KEY, C__PORT: ")
    assert second.startswith(".env: LOG__LEVEL: ")


def test_a_setup_that_is_killed_leaves_the_file_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".env").write_text("A__KEY=mine\n")
    monkeypatch.setattr(Path, "replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        setup()
    assert (folder / ".env").read_text() == "A__KEY=mine\n"
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    assert setup() == 0
    assert not env_file.UNFINISHED.exists()
    assert (folder / ".env").read_text() == "A__KEY=mine\n\nC__PORT=1\n"


def test_a_command_names_in_one_line_what_the_file_lacks(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / ".env").write_text("DATABASE__URL=proto://given\nREDIS__URL=proto://given\nC__PORT=1\n")
    assert run([sys.executable, "-c", ""]) == 0
    assert capfd.readouterr().err == ".env lacks A__KEY: run `make setup`\n"


def test_a_command_gives_its_own_status(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE__URL", "proto://given")  # what is given is not started
    assert run([sys.executable, "-c", "raise SystemExit(7)"]) == 7


SLEEPS = "import time; print('started', flush=True); time.sleep(60)"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_closed_terminal_stops_the_command(number: signal.Signals, folder: Path) -> None:
    with started(folder) as process:
        process.send_signal(number)
        assert process.communicate(timeout=10)[0] == ""  # the command has ended too: it held the pipe
    assert process.returncode == 143


def test_the_command_stops_with_the_process_that_asked_for_it(folder: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", SLEEPS])
    with started(folder, "--parent", str(parent.pid)) as process:
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 10
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
    assert process.returncode == 143


def started(folder: Path, *options: str) -> "subprocess.Popen[str]":
    """Run a command that sleeps, and wait until it does."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored below `nohup`, and children inherit that
    command = [sys.executable, "-m", "dev", "run", *options, sys.executable, "-c", SLEEPS]
    given = {"DATABASE__URL": "proto://given", "REDIS__URL": "proto://given", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=folder, env={**os.environ, **given}, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process
