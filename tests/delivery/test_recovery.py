"""Point-in-time recovery: write, note the time, write more, lose everything, go back to that time, compare all rows."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.delivery.archived import Cluster, until
from tests.delivery.tools import tool
from tests.docs.markdown import commands
from tests.live.conftest import Make, new_database, postgres_server, rendered, shared
from tests.live.environment import clean

__all__ = ["new_database", "postgres_server", "rendered", "shared"]  # the fixtures of the live tests


def page(root: Path, program: str) -> list[str]:
    """The commands of a service's page that call a program."""
    return [command for command in commands((root / "docs" / "backups.md").read_text()) if command.startswith(program)]


def test_a_file_goes_back_to_a_moment(
    rendered: Make, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    root = rendered(
        copy=True, database="sqlite", extensions=[], delivery=["backups"], ci="none", sample=False, migrated=False
    ).root
    (root / "var").mkdir()
    database, replica = root / "var" / "service.db", tmp_path / "replica"
    environment = {**clean(), "PATH": f"{Path(tool('litestream')).parent}:{os.environ['PATH']}"}
    environment |= {"LITESTREAM_DATABASE": str(database), "LITESTREAM_REPLICA": f"file://{replica}"}
    environment |= {"LITESTREAM_ENDPOINT": ""}
    replicate, restore = page(root, "litestream")

    def connect(path: Path = database) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(path, isolation_level=None, timeout=30))

    def checksum(path: Path) -> str:
        with connect(path) as connection:
            return hashlib.sha256(
                repr(connection.execute("SELECT * FROM notes ORDER BY id").fetchall()).encode()
            ).hexdigest()

    def replicated() -> float:
        return max((path.stat().st_mtime for path in replica.rglob("*.ltx")), default=0.0)

    with connect() as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE notes (id integer PRIMARY KEY, content text)")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(replicate.split(), cwd=root, env=environment, stdout=log, stderr=log)
        try:
            until(replicated, "the replica was never begun")
            with connect() as connection:
                connection.executemany("INSERT INTO notes VALUES (?, ?)", ((n, f"note {n}") for n in range(2000)))
                written = time.time()
                until(lambda: replicated() >= written, "the rows never arrived")
                record_testsuite_property("replica behind", round(replicated() - written, 2))
                wanted = checksum(database)
                time.sleep(1.1)  # moments are told apart by the second
                moment = datetime.now(UTC)
                time.sleep(1.1)
                connection.execute("DELETE FROM notes WHERE id % 2 = 0")
                connection.execute("INSERT INTO notes VALUES (9999, 'too late')")
                written = time.time()
                until(lambda: replicated() >= written, "the mistake never arrived")
        finally:
            process.kill()
            process.wait()
    assert checksum(database) != wanted
    for path in (root / "var").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    began = time.monotonic()
    environment["MOMENT"] = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    done = subprocess.run(["sh", "-c", restore], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record_testsuite_property("file restored", round(time.monotonic() - began, 2))
    assert checksum(root / "var" / "restored.db") == wanted


@pytest.fixture
def cluster(rendered: Make) -> Iterator[Cluster]:
    """A server on Debian's PostgreSQL. Not in a folder of pytest's, which other users do not enter."""
    root = rendered(
        database="postgres", extensions=[], delivery=["backups"], ci="none", sample=False, migrated=False, url=""
    ).root
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        made = Cluster(root, Path(folder))
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()


def test_a_server_goes_back_to_a_moment(
    cluster: Cluster, record_testsuite_property: Callable[[str, object], None]
) -> None:
    *setup, restore = page(cluster.root, "pgbackrest")
    assert [command.split()[-1] for command in setup] == ["stanza-create", "check", "backup", "info"]
    cluster.ask("CREATE TABLE notes (id integer PRIMARY KEY, content text)")
    for command in setup:
        cluster.run(*command.split())
    time.sleep(1.1)  # pgBackRest knows to the second when a backup ended, and takes one that ended before the moment
    cluster.ask("INSERT INTO notes SELECT n, 'note ' || n FROM generate_series(1, 100000) n")
    wanted, moment = cluster.checksum(), cluster.ask("SELECT clock_timestamp()")
    cluster.ask("DELETE FROM notes WHERE id % 2 = 0")
    segment = cluster.ask("SELECT pg_walfile_name(pg_current_wal_lsn())")
    began = time.monotonic()
    cluster.ask("SELECT pg_switch_wal()")
    until(lambda: cluster.ask("SELECT last_archived_wal FROM pg_stat_archiver") >= segment, "nothing is archived")
    record_testsuite_property("archived", round(time.monotonic() - began, 1))
    assert cluster.ask("SHOW archive_timeout") == "1min"
    cluster.stop()
    shutil.rmtree(cluster.data)
    cluster.run("mkdir", "--mode=700", str(cluster.data))
    began = time.monotonic()
    cluster.run("sh", "-c", restore, MOMENT=moment)
    cluster.start()
    record_testsuite_property("server restored", round(time.monotonic() - began, 1))
    assert cluster.checksum() == wanted
    cluster.ask("INSERT INTO notes VALUES (0, 'it takes writes again')")
