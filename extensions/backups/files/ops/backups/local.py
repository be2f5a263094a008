"""The folder that backups are kept in: each is a folder of its own, which gets its name when it is whole."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from ops.backups.errors import BackupRefused, BackupUnknown, InUse, disk
from ops.backups.manifest import ID, NAME, Manifest, read
from ops.backups.sealing import Key, check_key, check_sums

UNFINISHED = ".part"


class Place(Protocol):
    """A place that keeps backups."""

    name: str
    where: str
    """The place in a message about one copy; empty for this machine."""

    def ids(self) -> list[str]:
        """The backups that are there whole, oldest first."""

    def manifest(self, backup_id: str) -> Manifest:
        """Return the facts of one backup."""

    def opened(self, manifest: Manifest, directory: "Directory") -> AbstractContextManager[Path]:
        """Return a folder on this machine that has the files of a backup."""

    def good(self, manifest: Manifest) -> bool:
        """Return whether a backup is what was stored."""

    def delete(self, backup_id: str) -> None:
        """Remove one."""


class Directory:
    """The folder of this machine."""

    name = "here"
    where = ""

    def __init__(self, path: Path, key: Key | None) -> None:
        self.path = path.absolute()
        self.key = key

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One run at a time; what runs that were killed have left is removed.

        Raises:
            InUse: there is one.
            DiskFailed: nothing can be written here.
        """
        with disk(self.path):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.path / ".lock").open("ab")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InUse(f"{self.path}: another run is at work here: wait for its end") from None
            with disk(self.path):
                for left in self.path.glob(f".*{UNFINISHED}"):
                    shutil.rmtree(left)
            yield

    @contextmanager
    def work(self, name: str) -> Iterator[Path]:
        """A folder for what is not whole yet, gone in the end."""
        folder = self.path / f".{name}{UNFINISHED}"
        with disk(self.path):
            folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, manifest: Manifest, folder: Path) -> None:
        """Make it a backup: on the disk, and not only in its cache."""
        with disk(self.path):
            (folder / NAME).write_text(manifest.model_dump_json(indent=2) + "\n")
            for path in [*folder.iterdir(), folder]:
                _sync(path)
            folder.rename(self.path / manifest.id)
            _sync(self.path)

    def ids(self) -> list[str]:
        """The backups that are here whole, oldest first."""
        with disk(self.path):
            found = self.path.iterdir() if self.path.is_dir() else ()
            return sorted(path.name for path in found if ID.fullmatch(path.name) and path.is_dir())

    def manifest(self, backup_id: str) -> Manifest:
        """Return the facts of one backup.

        Raises:
            BackupUnknown: there is none of this id.
            BackupRefused: nothing is known that could be read.
        """
        path = self.folder(backup_id) / NAME
        with disk(self.path):
            text = path.read_bytes() if path.is_file() else b""
        return read(text, backup_id)

    def folder(self, backup_id: str) -> Path:
        """Return the folder of a backup's files.

        Raises:
            BackupUnknown: there is none of this id.
        """
        if not ID.fullmatch(backup_id) or not (self.path / backup_id).is_dir():
            raise BackupUnknown(
                f"there is no backup {backup_id[:60]!r}: `python -m ops list` shows those that there are"
            )
        return self.path / backup_id

    @contextmanager
    def opened(self, manifest: Manifest, directory: "Directory") -> Iterator[Path]:
        """Return the folder itself."""
        del directory
        yield self.folder(manifest.id)

    def good(self, manifest: Manifest) -> bool:
        """Return whether its files are the ones that were stored."""
        try:
            check_key(manifest, self.key)
            check_sums(manifest, self.folder(manifest.id))
        except BackupRefused:
            return False
        return True

    def delete(self, backup_id: str) -> None:
        """Remove one; what is half removed has no name any more."""
        with disk(self.path):
            going = self.path / f".{backup_id}{UNFINISHED}"
            self.folder(backup_id).rename(going)
            shutil.rmtree(going)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
