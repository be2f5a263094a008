"""Failures of a server alone: programs that are missing or old, a stopped server, missing permissions."""

import os
from pathlib import Path

import pytest

from app.core.data.engine import DatabaseSettings
from ops.backups import programs
from ops.backups.errors import DatabaseFailed
from tests.ops.conftest import Ops, execute, notes


def program(folder: Path, name: str, text: str) -> None:
    """Put a program before those of the same name."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def test_missing_and_old_programs_are_said_before_anything_happens(
    ops: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    program(tmp_path / "bin", "pg_restore", "echo 'pg_restore (PostgreSQL) 99.1'")
    missing = ops("backup")
    assert (missing.status, "pg_dump is missing: install" in missing.error) == (8, True), missing
    program(tmp_path / "bin", "pg_dump", "echo 'pg_dump (PostgreSQL) 9.6.1'")
    old = ops("backup")
    assert (old.status, "pg_dump is 9.6 and the server is" in old.error) == (8, True), old


def test_a_dump_that_fails_leaves_nothing(ops: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = 'case "$1" in --version) echo "pg_dump (PostgreSQL) 99";; *) echo half; echo "it broke" >&2; exit 1;; esac'
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    program(tmp_path / "bin", "pg_dump", fails)
    failed = ops("backup")
    assert (failed.status, failed.error) == (9, "ops: it broke\n")
    assert not list((tmp_path / "backups").glob("*2*"))


def test_a_restore_that_fails_leaves_the_database(
    ops: Ops, filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ops("backup").status == 0
    fails = 'case "$1" in --version) echo "pg_restore (PostgreSQL) 99";; *) echo "it broke" >&2; exit 1;; esac'
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    program(tmp_path / "bin", "pg_restore", fails)
    failed = ops("restore", "--yes")
    assert (failed.status, failed.error) == (9, "ops: it broke\n")
    assert len(notes(filled)) == 3
    assert execute(filled, "SELECT count(*) FROM pg_database WHERE datname LIKE '%restoring'") == [[0]]


def test_a_server_that_is_gone_is_said_without_its_password(ops: Ops) -> None:
    gone = ops("backup", database="postgresql://me:hidden@127.0.0.1:1/x")
    assert (gone.status, "DATABASE__URL: postgresql://me:[redacted]@127.0.0.1:1/x" in gone.error) == (9, True), gone


def test_the_address_is_one_that_the_programs_understand() -> None:
    settings = DatabaseSettings(url="postgresql+asyncpg://me:secret@db:5432/service?ssl=require")
    assert programs.url_of(settings).render_as_string(hide_password=False) == (
        "postgresql://me:secret@db:5432/service?sslmode=require"
    )
    assert programs.elsewhere(settings) == "postgres"
    with pytest.raises(DatabaseFailed, match="backups do not go through PgBouncer"):
        programs.url_of(DatabaseSettings(url="postgresql://db/service?pgbouncer=true"))


def test_no_secret_of_the_address_is_on_a_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program(tmp_path, "pg_dump", 'echo "$PGPASSWORD $*"')
    settings = DatabaseSettings(url="postgresql+asyncpg://me@db/service?password=s%263cret&ssl=require")
    with programs.program(["pg_dump"], reads=False, settings=settings) as stream:
        said = stream.read().decode()
    assert said == "s&3cret --no-password --dbname=postgresql://me@db/service?sslmode=require\n"
    with pytest.raises(DatabaseFailed, match="sslpassword would be on a command line"):
        programs.url_of(DatabaseSettings(url="postgresql+asyncpg://me@db/service?sslpassword=s3cret"))
