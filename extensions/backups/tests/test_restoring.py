"""Restoring: beside, compared, swapped; what was there is kept, and nothing happens unasked."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.core.data.engine import DatabaseSettings
from ops.backups.manifest import Manifest
from tests.ops import places
from tests.ops.conftest import Ops, execute, kept, notes

HOLDS = """
import asyncio, sys
from app.core.data.engine import DatabaseSettings, create

async def hold():
    async with create(DatabaseSettings(url=sys.argv[1])).connect() as connection:
        await connection.exec_driver_sql("SELECT 1 FROM notes")
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(hold())
"""
"""A program that keeps the database open as the service does."""


def test_what_was_backed_up_is_back_and_what_was_there_is_kept(ops: Ops, filled: str) -> None:
    before = notes(filled)
    assert ops("backup").status == 0
    execute(filled, "DELETE FROM notes", "INSERT INTO notes VALUES (9, 'later')")
    done = ops("restore", "--yes")
    assert done.status == 0, done
    assert notes(filled) == before
    name = re.findall(r"what was there is kept as (.+)", done.out)[0]
    assert notes(places.named(filled, name)) == [[9, "later"]]


def test_a_database_that_is_gone_is_restored(ops: Ops, filled: str) -> None:
    before = notes(filled)
    assert ops("backup").status == 0
    assert ops("restore", "--yes", database=places.gone(filled)).status == 0
    assert notes(places.gone(filled)) == before


def test_a_running_service_is_left_alone(ops: Ops, filled: str) -> None:
    ops("backup")

    command = [sys.executable, "-c", HOLDS, DatabaseSettings(url=filled).url]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE) as process:  # noqa: S603
        assert process.stdout
        assert process.stdout.readline() == b"open\n"
        refused = ops("restore", "--yes")
        process.kill()
    assert (refused.status, "stop the service" in refused.error) == (5, True), refused
    assert len(notes(filled)) == 3


def test_nothing_is_restored_that_nobody_confirmed(ops: Ops, filled: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ops("backup")
    execute(filled, "DELETE FROM notes WHERE id = 1")
    monkeypatch.setattr("sys.stdin", Terminal("", terminal=False))
    assert ops("restore").status == 11
    monkeypatch.setattr("sys.stdin", Terminal("no\n", terminal=True))
    assert ops("restore").status == 11
    assert len(notes(filled)) == 2
    monkeypatch.setattr("sys.stdin", Terminal("yes\n", terminal=True))
    assert ops("restore").status == 0
    assert len(notes(filled)) == 3


class Terminal:
    """A person who answers, or none."""

    def __init__(self, answer: str, *, terminal: bool) -> None:
        self.answer = answer
        self.terminal = terminal

    def isatty(self) -> bool:
        """Return whether a user is at the terminal."""
        return self.terminal

    def readline(self) -> str:
        """Return the user's answer."""
        return self.answer


@pytest.mark.parametrize("backup_id", ["20200101T000000Z-0000", "../../etc", "newest"])
def test_a_backup_that_is_not_there_is_said_in_one_line(ops: Ops, backup_id: str) -> None:
    for command in ("restore", "verify", "drill"):
        said = ops(command, backup_id)
        assert (said.status, said.error.count("\n")) == (4, 1)


def test_a_backup_of_a_revision_that_this_version_does_not_know_is_refused(ops: Ops, filled: str) -> None:
    (revision,) = execute(filled, "SELECT version_num FROM alembic_version") or [["none"]]
    execute(filled, "DELETE FROM alembic_version", "INSERT INTO alembic_version VALUES ('of a newer one')")
    assert ops("backup").status == 0
    execute(filled, f"UPDATE alembic_version SET version_num = '{revision[0]}'")  # noqa: S608  # its own
    refused = ops("restore", "--yes")
    assert (refused.status, "does not know: restore it with version" in refused.error) == (3, True)


def test_a_drill_restores_compares_and_leaves_nothing(ops: Ops, filled: str, tmp_path: Path) -> None:
    ops("backup")
    execute(filled, "DELETE FROM notes WHERE id = 1")
    done = ops("drill")
    assert done.status == 0
    assert re.search(r"restored in \d+\.\d s \(RTO\); its state is \d+ s old \(RPO", done.out)
    assert len(notes(filled)) == 2
    assert "backup_drill_restore_seconds" in (tmp_path / "backups" / "backups.prom").read_text()


def test_folders_and_files_come_back_with_the_database(ops: Ops, tmp_path: Path) -> None:
    folder, file = tmp_path / "files", tmp_path / "trail.jsonl"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "data").write_bytes(b"x" * 300_000)
    file.write_text("one\n")
    paths = f"{folder},{file},{tmp_path / 'never-made'}"
    assert ops("backup", PATHS=paths).status == 0
    assert ops("verify", PATHS=paths).status == 0
    (folder / "a" / "data").write_bytes(b"y")
    (folder / "b").write_text("later")
    file.unlink()
    done = ops("restore", "--yes", PATHS=paths)
    assert done.status == 0, done
    assert (folder / "a" / "data").read_bytes() == b"x" * 300_000
    assert not (folder / "b").exists()
    assert file.read_text() == "one\n"
    (aside,) = tmp_path.glob("files.before-*")
    assert (aside / "b").read_text() == "later"
    assert ops("drill").status == 0, "a drill needs no place for them"
    nowhere = ops("restore", "--yes")
    assert (nowhere.status, "BACKUPS__PATHS" in nowhere.error) == (7, True)
    assert len(kept(tmp_path)) == 1


def test_rows_that_are_not_those_that_were_backed_up_are_refused_before_the_swap(
    ops: Ops, filled: str, tmp_path: Path
) -> None:
    assert ops("backup", KEY="").status == 0
    path = kept(tmp_path)[0] / "manifest.json"
    manifest = Manifest.model_validate_json(path.read_bytes())
    (name,) = [name for name in manifest.tables if name.endswith("notes")]
    manifest.tables[name].checksum = "another"
    path.write_text(manifest.model_dump_json())
    execute(filled, "DELETE FROM notes WHERE id = 1")
    for command in (["drill"], ["restore", "--yes"]):
        refused = ops(*command, KEY="")
        assert (refused.status, f"{name} differ" in refused.error) == (3, True), refused
    assert len(notes(filled)) == 2
