"""Point-in-time recovery: write, note the time, write more, lose everything, go back to that time, compare all rows."""

import hashlib
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.delivery.archived import Cluster, until
from tests.delivery.store import Store, storing
from tests.delivery.tools import tool
from tests.docs.markdown import commands
from tests.live.conftest import Make, new_database, postgres_server, rendered, shared
from tests.live.environment import DEFAULT, clean, interpreter

__all__ = ["new_database", "postgres_server", "rendered", "shared"]  # the fixtures of the live tests
LAST = re.compile(r"-([0-9a-f]{16})\.ltx")
NOTES = """
INSERT INTO notes
WITH RECURSIVE n(id) AS (SELECT 0 UNION ALL SELECT id + 1 FROM n WHERE id < 1999) SELECT id, 'note ' || id FROM n;
"""


def page(root: Path, program: str) -> list[str]:
    """The commands of a service's page that call a program."""
    return [command for command in commands((root / "docs" / "backups.md").read_text()) if command.startswith(program)]


@dataclass
class Replica:
    """The destination to which Litestream copies."""

    variables: dict[str, str]
    names: Callable[[], Iterable[str]]

    def last(self) -> int:
        """The number of the last transaction that it has: `...-000000000000001f.ltx`."""
        return max((int(name, 16) for listed in self.names() for name in LAST.findall(listed)), default=0)


@pytest.fixture(params=["folder", "store"])
def replica(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Replica]:
    """One on another disk, and one in a store."""
    if request.param == "folder":
        folder = tmp_path / "replica"
        variables = {"LITESTREAM_REPLICA": f"file://{folder}", "LITESTREAM_ENDPOINT": ""}
        yield Replica(variables, lambda: (path.name for path in folder.rglob("*.ltx")))
        return
    with storing(interpreter(DEFAULT), tmp_path, "bucket") as store:
        variables = {"LITESTREAM_REPLICA": "s3://bucket/my-service", "LITESTREAM_ENDPOINT": f"https://{store.address}"}
        variables |= {"LITESTREAM_ACCESS_KEY_ID": "key", "LITESTREAM_SECRET_ACCESS_KEY": "secret"}
        variables |= {"SSL_CERT_FILE": str(store.certificate)}
        yield Replica(variables, lambda: [store.listed("bucket")])


def test_a_file_goes_back_to_a_moment(
    rendered: Make, tmp_path: Path, replica: Replica, record_testsuite_property: Callable[[str, object], None]
) -> None:
    root = rendered(
        copy=True, database="sqlite", extensions=[], delivery=["backups"], ci="none", sample=False, migrated=False
    ).root
    (root / "var").mkdir()
    database = root / "var" / "service.db"
    environment = {**clean(), "PATH": f"{Path(tool('litestream')).parent}:{os.environ['PATH']}"}
    environment |= {"LITESTREAM_DATABASE": str(database), **replica.variables}
    environment.pop("AWS_CA_BUNDLE", None)  # Litestream does not start with it
    replicate, restore = page(root, "litestream")

    def connect(path: Path = database) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(path, isolation_level=None, timeout=30))

    def checksum(path: Path) -> str:
        with connect(path) as connection:
            return hashlib.sha256(
                repr(connection.execute("SELECT * FROM notes ORDER BY id").fetchall()).encode()
            ).hexdigest()

    def write(connection: sqlite3.Connection, statements: str) -> float:
        """In one transaction, and return after how many seconds the replica has it."""
        before = replica.last()
        connection.executescript(f"BEGIN; {statements} COMMIT;")
        written = time.monotonic()
        until(lambda: replica.last() > before, "what was written never arrived")
        return time.monotonic() - written

    with connect() as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE notes (id integer PRIMARY KEY, content text)")
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(replicate.split(), cwd=root, env=environment, stdout=log, stderr=log)
        try:
            until(replica.last, "the replica was never begun")
            with connect() as connection:
                behind = write(connection, NOTES)
                record_testsuite_property("replica behind", round(behind, 2))
                wanted = checksum(database)
                time.sleep(1.1)  # moments are told apart by the second
                moment = datetime.now(UTC)
                time.sleep(1.1)
                write(connection, "DELETE FROM notes WHERE id % 2 = 0; INSERT INTO notes VALUES (9999, 'too late');")
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
    (exchange,) = page(root, "mkdir -p var/before")
    for present in (False, True):  # the file is gone; then it is there, with its log
        if present:
            shutil.copy(database, root / "var" / "restored.db")
            database.with_name("service.db-wal").write_bytes(b"")
        subprocess.run(["sh", "-c", exchange], cwd=root, check=True)
        assert checksum(database) == wanted
    assert {path.name for path in (root / "var" / "before").iterdir()} == {"service.db", "service.db-wal"}


@contextmanager
def archived(rendered: Make, store: Store | None = None) -> Iterator[Cluster]:
    """A server on Debian's PostgreSQL. Not in a folder of pytest's, which other users do not enter."""
    root = rendered(
        database="postgres", extensions=[], delivery=["backups"], ci="none", sample=False, migrated=False, url=""
    ).root
    with tempfile.TemporaryDirectory(prefix="recovery-") as folder:
        made = Cluster(root, Path(folder), store)
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()


def goes_back(
    cluster: Cluster, setup: list[str], restore: str, record: Callable[[str, object], None], lost: Iterable[str] = ()
) -> None:
    """Set up, write, make a mistake, lose the server and more, and have what there was before the mistake."""
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
    record("archived", round(time.monotonic() - began, 1))
    cluster.lose("data", *lost)
    began = time.monotonic()
    cluster.run("sh", "-c", restore, MOMENT=moment)
    cluster.start()
    record("server restored", round(time.monotonic() - began, 1))
    assert cluster.checksum() == wanted
    cluster.ask("INSERT INTO notes VALUES (0, 'it takes writes again')")


def test_a_server_goes_back_to_a_moment(
    rendered: Make, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with archived(rendered) as cluster:
        *setup, _, restore = page(cluster.root, "pgbackrest")
        assert [command.split()[-1] for command in setup] == ["stanza-create", "check", "backup", "info"]
        assert cluster.ask("SHOW archive_timeout") == "1min"
        goes_back(cluster, setup, restore, record_testsuite_property)


def test_a_server_goes_back_on_a_machine_that_has_nothing(
    rendered: Make, tmp_path: Path, record_testsuite_property: Callable[[str, object], None]
) -> None:
    with storing(interpreter(DEFAULT), tmp_path, "backups") as store, archived(rendered, store) as cluster:
        *setup, restore = page(cluster.root, "pgbackrest")
        goes_back(cluster, setup, restore, record_testsuite_property, lost=["repository", "spool", "lock", "log"])
