"""Making a backup: whole, locked, alone, and nothing of it where it fails."""

import fcntl
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.backups.manifest import FORMAT, Manifest
from ops.backups.sealing import new_key
from tests.ops.conftest import KEY, Ops, execute, kept, notes


def test_a_backup_says_what_it_has_and_is_listed(ops: Ops, tmp_path: Path) -> None:
    made = ops("backup")
    assert (made.status, made.error) == (0, "")
    (folder,) = kept(tmp_path)
    manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
    assert manifest.format == FORMAT
    assert sum(table.rows for name, table in manifest.tables.items() if name.endswith("notes")) == 3
    assert [member.name for member in manifest.members] == ["database.gz.age"]
    assert (folder / "database.gz.age").read_bytes().startswith(b"age-encryption.org/v1")
    listed = ops("list").out
    assert folder.name in listed
    assert "encrypted  here" in listed


def test_without_a_key_it_is_gzip_and_says_so(ops: Ops, tmp_path: Path) -> None:
    made = ops("backup", KEY="")
    assert (made.status, "not encrypted" in made.out) == (0, True)
    assert (kept(tmp_path)[0] / "database.gz").read_bytes().startswith(b"\x1f\x8b")
    refused = ops("verify")
    assert refused.status == 3
    assert "is not encrypted, and its origin cannot be verified" in refused.error
    assert ops("verify", KEY="").status == 0


def truncated(folder: Path) -> None:
    """Cut the last bytes off."""
    path = folder / "database.gz.age"
    path.write_bytes(path.read_bytes()[:-20])


def changed(folder: Path) -> None:
    """Change a byte."""
    path = folder / "database.gz.age"
    content = bytearray(path.read_bytes())
    content[-30] ^= 1
    path.write_bytes(content)


def replaced(folder: Path) -> None:
    """Change a byte, and write a checksum that fits."""
    changed(folder)
    rewrite(folder, lambda manifest: manifest.members[0].__setattr__("sha256", "0" * 64))


def other_format(folder: Path) -> None:
    """From a version to come."""
    rewrite(folder, lambda manifest: manifest.__setattr__("format", FORMAT + 1))


def missing(folder: Path) -> None:
    """Lose the file."""
    (folder / "database.gz.age").unlink()


def failing(folder: Path) -> None:
    """Reading it is an error that is not its absence."""
    (folder / "database.gz.age").unlink()
    (folder / "database.gz.age").mkdir()


def unreadable(folder: Path) -> None:
    """Lose half of the manifest."""
    path = folder / "manifest.json"
    path.write_bytes(path.read_bytes()[:50])


def rewrite(folder: Path, change: Callable[[Manifest], object]) -> None:
    """Change the manifest without the key."""
    path = folder / "manifest.json"
    manifest = Manifest.model_validate_json(path.read_bytes())
    change(manifest)
    path.write_text(manifest.model_dump_json())


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (truncated, "database.gz.age is not what was stored"),
        (changed, "database.gz.age is not what was stored"),
        (replaced, "was changed after it was made"),
        (other_format, f"has format {FORMAT + 1} and this version reads {FORMAT}"),
        (missing, "database.gz.age is missing"),
        (failing, "database.gz.age cannot be read: Is a directory"),
        (unreadable, "its manifest cannot be read"),
    ],
)
def test_what_is_not_as_it_was_made_is_refused_before_anything_is_touched(
    ops: Ops, filled: str, tmp_path: Path, harm: Callable[[Path], None], told: str
) -> None:
    ops("backup")
    (folder,) = kept(tmp_path)
    harm(folder)
    execute(filled, "DELETE FROM notes WHERE id = 1")
    before = notes(filled)
    for command in (["verify", folder.name], ["restore", folder.name, "--yes"]):
        refused = ops(*command)
        assert (refused.status, told in refused.error, refused.error.count("\n")) == (3, True, 1), refused
    assert notes(filled) == before


def test_all_are_verified_even_where_some_cannot_be_restored(ops: Ops, tmp_path: Path) -> None:
    for _ in range(3):
        assert ops("backup").status == 0
    good, *wrong = kept(tmp_path)
    changed(wrong[0])
    unreadable(wrong[1])
    said = ops("verify", "--all")
    assert (said.status, said.out.count("is whole"), said.error.count("\n")) == (3, 1, 2), said
    assert good.name in said.out
    assert all(folder.name in said.error for folder in wrong)


def test_a_wrong_key_and_no_key_are_refused_by_name(ops: Ops, filled: str, tmp_path: Path) -> None:
    ops("backup")
    (folder,) = kept(tmp_path)
    other = KEY[:-1] + ("Q" if KEY[-1] != "Q" else "P")
    assert ops("restore", "--yes", KEY=other).status == 2  # a slip of the pen: no key at all
    wrong = ops("restore", folder.name, "--yes", KEY=new_key().splitlines()[-1])
    assert (wrong.status, "was made with the key" in wrong.error) == (3, True)
    none = ops("restore", folder.name, "--yes", KEY="")
    assert (none.status, "is encrypted: set BACKUPS__KEY" in none.error) == (3, True)
    assert len(notes(filled)) == 3


def test_two_at_once_are_one_and_a_line(ops: Ops, tmp_path: Path) -> None:
    (tmp_path / "backups").mkdir()
    with (tmp_path / "backups" / ".lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ("backup", "restore", "prune", "drill"):
            assert ops(command).status == 5
    assert ops("backup").status == 0


def rows(number: int) -> list[str]:
    """Statements that write rows which cannot be compressed much."""
    return [f"INSERT INTO notes VALUES ({n}, '{n * 7919**200}')" for n in range(10, number)]  # noqa: S608


def test_a_disk_that_is_full_in_the_middle_leaves_the_backup_before(ops: Ops, filled: str, tmp_path: Path) -> None:
    assert ops("backup").status == 0
    before = kept(tmp_path)
    execute(filled, *rows(600))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # What the kernel refuses to write beyond this size: the nearest to a full disk that needs no right to mount one.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        full = ops("backup")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (full.status, "make room" in full.error) == (7, True), full
    assert kept(tmp_path) == before
    assert not list((tmp_path / "backups").glob(".*.part"))
    assert ops("verify", "--all").status == 0


def test_what_a_killed_run_has_left_is_no_backup_and_goes(ops: Ops, tmp_path: Path) -> None:
    left = tmp_path / "backups" / ".20260101T000000Z-abcd.part"
    left.mkdir(parents=True)
    assert "no backup yet" in ops("list").out
    assert ops("backup").status == 0
    assert not left.exists()


def test_metrics_tell_of_the_last_success_and_of_the_failure_after_it(ops: Ops, tmp_path: Path) -> None:
    path = tmp_path / "backups" / "backups.prom"
    ops("backup")
    before = dict(line.rsplit(" ", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    labels = next(name for name in before if name.startswith("backup_last_success_timestamp_seconds"))
    assert ops("backup", BUCKET="nowhere", ENDPOINT="http://127.0.0.1:1", TIMEOUT="1").status == 6
    after = dict(line.rsplit(" ", 1) for line in path.read_text().splitlines() if not line.startswith("#"))
    assert after[labels] == before[labels]
    assert float(after[labels.replace("success_timestamp_seconds", "status")]) == 6
    assert len(kept(tmp_path)) == 2, "the copy failed, and the backup stays"
