"""Cases of a file alone: invalid content in its place, write-ahead logs, a database in memory."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.ops.conftest import Ops, notes


def path_of(url: str) -> Path:
    """The file."""
    return Path(url.partition("///")[2])


def test_nonsense_in_the_place_of_the_database_is_replaced_and_kept(ops: Ops, filled: str) -> None:
    before = notes(filled)
    assert ops("backup").status == 0
    path_of(filled).write_bytes(b"nonsense" * 1000)
    failed = ops("backup")
    assert (failed.status, "file is not a database" in failed.error) == (9, True), failed
    Path(f"{path_of(filled)}-wal").write_bytes(b"of the nonsense")
    assert ops("restore", "--yes").status == 0
    assert notes(filled) == before
    assert {path.read_bytes()[:8] for path in path_of(filled).parent.glob("*.db.before-*")} >= {
        b"nonsense",
        b"of the n",
    }


def test_what_stands_in_the_log_alone_is_backed_up_and_kept(ops: Ops, filled: str) -> None:
    with closing(sqlite3.connect(path_of(filled), isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("INSERT INTO notes VALUES (4, 'in the log')")
        assert Path(f"{path_of(filled)}-wal").stat().st_size
        assert ops("backup").status == 0
        connection.execute("DELETE FROM notes WHERE id = 4")
    assert ops("restore", "--yes").status == 0
    assert [4, "in the log"] in notes(filled)
    assert not Path(f"{path_of(filled)}.restoring").exists()


def test_a_file_that_is_missing_and_one_in_memory_are_said(ops: Ops, filled: str) -> None:
    memory = ops("backup", database="sqlite+aiosqlite:///:memory:")
    assert (memory.status, "in memory cannot be backed up" in memory.error) == (9, True)
    path_of(filled).unlink()
    missing = ops("backup")
    assert (missing.status, "unable to open database file" in missing.error) == (9, True)


def test_tables_of_a_replication_are_no_data(ops: Ops, filled: str) -> None:
    assert ops("backup").status == 0
    before = ops("verify").out.partition(":")[2]
    with closing(sqlite3.connect(path_of(filled), isolation_level=None)) as connection:
        connection.execute("CREATE TABLE _litestream_seq (id integer)")
    assert ops("backup").status == 0
    assert ops("verify").out.partition(":")[2] == before
