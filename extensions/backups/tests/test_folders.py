"""Folders that belong to the database: they take their places with it or not at all, a mount point's too."""

import errno
import os
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.backups import database, folders
from ops.backups.errors import DiskFailed, InUse
from tests.ops.conftest import Ops, execute, notes


def fail_to_rename(patch: pytest.MonkeyPatch, wrong: Callable[[Path], bool], code: int) -> None:
    """Renaming what is named wrong fails as the system says it."""
    rename = Path.rename

    def renamed(path: Path, target: Path) -> Path:
        if wrong(path):
            raise OSError(code, os.strerror(code))
        return rename(path, target)

    patch.setattr(Path, "rename", renamed)


def unpacked(path: Path) -> bool:
    """Return whether a path is of a folder that is being restored."""
    return folders.RESTORING in str(path)


def content(folder: Path) -> dict[str, str]:
    """The files below a folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def both(tmp_path: Path) -> list[Path]:
    """Two folders with a file each."""
    found = [tmp_path / "first", tmp_path / "second"]
    for folder in found:
        folder.mkdir()
        (folder / "file").write_text("old")
    return found


@pytest.fixture
def changed(ops: Ops, filled: str, both: list[Path]) -> str:
    """The setting of both folders, which were backed up with the database and changed since, as it was."""
    paths = ",".join(str(folder) for folder in both)
    assert ops("backup", PATHS=paths).status == 0
    for folder in both:
        (folder / "file").write_text("new")
    execute(filled, "DELETE FROM notes WHERE id = 1")
    return paths


@pytest.mark.parametrize("culprit", ["folder", "database"])
def test_a_place_that_cannot_be_taken_leaves_all_as_it_was(
    ops: Ops, filled: str, both: list[Path], changed: str, culprit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def used(*_: object) -> str:
        raise InUse("a client has connected: stop the service")

    if culprit == "folder":
        fail_to_rename(monkeypatch, lambda path: path == both[1], errno.EBUSY)
    else:
        monkeypatch.setattr(database.Copy, "swap", used)
    failed = ops("restore", "--yes", PATHS=changed)
    assert (failed.status, failed.error.count("\n")) == (7 if culprit == "folder" else 5, 1), failed
    assert culprit == "database" or "nothing was changed" in failed.error
    assert [content(folder) for folder in both] == [{"file": "new"}] * 2
    assert len(notes(filled)) == 2
    assert sorted(path for path in both[0].parent.iterdir() if path.name.startswith(("first", "second"))) == both


@pytest.mark.usefixtures("filled")
def test_a_link_is_followed_and_stays(ops: Ops, both: list[Path], tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(both[0])
    assert ops("backup", PATHS=str(link)).status == 0
    (both[0] / "file").write_text("new")
    assert ops("restore", "--yes", PATHS=str(link)).status == 0
    assert (link.readlink(), content(both[0])) == (both[0], {"file": "old"})


def test_what_cannot_be_put_back_is_named(both: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    place = folders.Unpacked(both[0])
    kept = place.swap("20260301120000")
    assert kept
    monkeypatch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(DiskFailed, match=str(kept)) as raised:
        place.undo()
    assert "nothing was changed" not in str(raised.value)


def test_what_cannot_be_renamed_is_known(both: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, table = tmp_path / "a volume", tmp_path / "mountinfo"
    place.mkdir()
    table.write_text(f"36 35 98:0 / {tmp_path}/a\\040volume rw,noatime master:1 - ext4 /dev/root rw\n")
    monkeypatch.setattr(folders, "MOUNTS", table)
    assert [folders.is_held(path) for path in (place, both[0], tmp_path / "nothing")] == [True, False, False]
    monkeypatch.setattr("os.access", lambda path, _: path != tmp_path)
    assert folders.is_held(both[0])


@pytest.fixture
def mount(both: list[Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A mount point with a file in it: a real one where this user may mount, else a folder that is taken for one."""
    source, place = both
    command = ["sh", "-c", 'mount --bind "$0" "$1"', str(source), str(place)]
    real = subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
    if not real:
        monkeypatch.setattr(folders, "is_held", lambda path: path == place)
    yield place
    if real:
        subprocess.run(["umount", str(place)], check=True)  # noqa: S603, S607


def test_a_mount_point_stays_one_and_its_entries_change_places(ops: Ops, filled: str, mount: Path) -> None:
    (mount / "lost+found").mkdir()
    (mount / "below").mkdir()
    (mount / "below" / "data").write_text("one")
    before, rows = content(mount), notes(filled)
    assert ops("backup", PATHS=str(mount)).status == 0
    for number in range(2):
        (mount / "file").write_text(f"new {number}")
        (mount / "below" / "data").unlink()
        execute(filled, "DELETE FROM notes")
        done = ops("restore", "--yes", PATHS=str(mount))
        assert done.status == 0, done
        assert {name: text for name, text in content(mount).items() if not name.startswith(".before-")} == before
        assert notes(filled) == rows
        aside = max(mount.glob(".before-*"), key=lambda path: path.stat().st_mtime_ns)
        assert str(aside) in done.out
        assert content(aside) == {"file": f"new {number}"}
        assert ops("backup", PATHS=str(mount)).status == 0, "what was set aside is no part of the next one"
        time.sleep(1)  # names of what is kept have the second
    assert (mount / "lost+found").is_dir()
    assert not (mount / ".restoring").exists()


def test_a_mount_point_that_cannot_be_filled_has_what_it_had(
    ops: Ops, filled: str, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ops("backup", PATHS=str(mount)).status == 0
    (mount / "file").write_text("new")
    (mount / "more").write_text("new")
    execute(filled, "DELETE FROM notes")
    fail_to_rename(monkeypatch, unpacked, errno.ENOSPC)
    failed = ops("restore", "--yes", PATHS=str(mount))
    assert (failed.status, "nothing was changed" in failed.error) == (7, True), failed
    assert content(mount) == {"file": "new", "more": "new"}
    assert [path.name for path in mount.glob(".*")] == []
    assert notes(filled) == []


def test_a_file_does_not_take_the_place_of_a_mount_point(ops: Ops, filled: str, mount: Path, tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / mount.name
    file.parent.mkdir()
    file.write_text("a file")
    assert ops("backup", PATHS=str(file)).status == 0
    execute(filled, "DELETE FROM notes")
    refused = ops("restore", "--yes", PATHS=str(mount))
    assert (refused.status, str(mount) in refused.error, "nothing was changed" in refused.error) == (7, True, True)
    assert content(mount) == {"file": "old"}
    assert notes(filled) == []


def test_a_restore_that_was_killed_in_between_is_repeated_and_loses_nothing(
    ops: Ops, filled: str, mount: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = notes(filled)
    assert ops("backup", PATHS=str(mount)).status == 0
    (mount / "file").write_text("new")
    execute(filled, "DELETE FROM notes")
    with monkeypatch.context() as patch:
        fail_to_rename(patch, unpacked, errno.EINTR)
        for cleaner in ("undo", "discard"):
            patch.setattr(folders.Unpacked, cleaner, lambda _: None)
        assert ops("restore", "--yes", PATHS=str(mount)).status == 7
    assert sorted(path.name[:8] for path in mount.iterdir()) == [".before-", ".restori"]
    time.sleep(1)
    assert ops("restore", "--yes", PATHS=str(mount)).status == 0
    (aside,) = mount.glob(".before-*")
    assert [content(aside), (mount / "file").read_text(), notes(filled)] == [{"file": "new"}, "old", rows]


def test_a_file_that_tells_of_another_one_is_packed_before_it(tmp_path: Path) -> None:
    (tmp_path / "trails").mkdir()
    for name in ("pod.jsonl", "pod.jsonl.head"):
        (tmp_path / "trails" / name).write_text(name)
    with folders.packed(tmp_path / "trails") as stream, tarfile.open(mode="r|", fileobj=stream) as archive:
        names = [entry.name for entry in archive]
        stream.read()
    assert names == ["content", "content/pod.jsonl.head", "content/pod.jsonl"]
