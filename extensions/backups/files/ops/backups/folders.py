"""Folders and files that are backed up with the database: as a tar, and put back as a whole."""

import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from ops.backups.errors import BackupRefused, DiskFailed, disk
from ops.backups.sealing import BLOCK, Target

MOUNTS = Path("/proc/self/mountinfo")
"""Linux names the mount points in it: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html."""
CONTENT = "content"
RESTORING = ".restoring"
ASIDE = re.compile(r"\.restoring|\.before-\d{14}|lost\+found")
"""The entries of a mount point that are not its content: of this tool, and of the file system."""


class Beside(Thread):
    """Work on the other end of a pipe. What it fails with is raised by `done`."""

    def __init__(self, work: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.error: Exception | None = None
        self.start()

    def run(self) -> None:
        """Do it."""
        try:
            self.work()
        except Exception as error:  # noqa: BLE001  # raised in the thread that waits for it
            self.error = error

    def done(self) -> None:
        """Wait for its end."""
        self.join()
        if self.error is not None:
            raise self.error


@contextmanager
def packed(path: Path) -> Iterator[IO[bytes]]:
    """A stream that gives a folder or a file. What is not there is as good as empty.

    Raises:
        DiskFailed: something in it could not be read.
    """
    reading, writing = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))

    def pack() -> None:
        with writing, disk(path), tarfile.open(mode="w|", fileobj=writing) as archive:
            _add(archive, path, CONTENT)

    work = Beside(pack)
    with reading:
        yield reading
    work.done()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add it with all below; a file that is removed meanwhile is left out."""
    try:
        entry = archive.gettarinfo(str(path), name)
        if entry.isreg():
            with path.open("rb") as file:
                entry.size = os.fstat(file.fileno()).st_size
                archive.addfile(entry, file)
            return
        if entry.isdir():
            archive.addfile(entry)
            # NAME.head before NAME: a file that tells of another one must not be newer than that.
            for below in reversed(_entries(path) if name == CONTENT else sorted(path.iterdir())):
                _add(archive, below, f"{name}/{below.name}")
    except FileNotFoundError:
        return


def _entries(path: Path) -> list[Path]:
    found = path.iterdir() if path.is_dir() else ()
    return sorted(entry for entry in found if not ASIDE.fullmatch(entry.name))


def is_held(path: Path) -> bool:
    """Return whether the path cannot be renamed: a mount point, or in a folder that this user cannot write to."""
    return path.exists() and (_is_mounted(path) or not os.access(path.parent, os.W_OK))


def _is_mounted(path: Path) -> bool:
    # Two volumes may be folders of one file system, so that their devices do not tell them apart.
    if path.is_mount() or not MOUNTS.exists():
        return path.is_mount()
    written = re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", os.path.realpath(path))
    return written in {line.split(" ")[4] for line in MOUNTS.read_text().splitlines()}


class Unpacked:
    """The content of a tar, beside its destination. A folder that cannot be renamed has it within, hidden."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.within = is_held(path)
        self.beside = path / RESTORING if self.within else path.with_name(f"{path.name}{RESTORING}")
        self.kept = self.beside
        self._renamed: list[tuple[Path, Path]] = []

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Give the tar to this.

        Raises:
            DiskFailed: it cannot be unpacked there.
            BackupRefused: it is no tar, or leads out of its folder.
        """
        self._must_be_no_file(self.path)
        reading, writing = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))

        def unpack() -> None:
            with reading, disk(self.beside):
                self.discard()
                self.beside.mkdir(parents=True)
                with tarfile.open(mode="r|", fileobj=reading) as archive:
                    archive.extractall(self.beside, filter="data")  # what leads out of it is refused
                while reading.read(BLOCK):  # the padding behind its end
                    pass

        work = Beside(unpack)
        try:
            with suppress(BrokenPipeError), writing:
                yield writing
            work.done()
        except tarfile.TarError as error:
            raise BackupRefused(f"{self.path}: its archive cannot be unpacked: {error}") from None
        self._must_be_no_file(self.beside / CONTENT)

    def _must_be_no_file(self, path: Path) -> None:
        if self.within and path.is_file():
            raise DiskFailed(
                f"{self.path} cannot be renamed, and is a file, here or in the backup: mount and name its folder; "
                "nothing was changed"
            )

    def swap(self, stamp: str) -> Path | None:
        """Take the place; what was there is kept under the name that is returned.

        Raises:
            DiskFailed: it cannot be taken, and `undo` restores what was there.
        """
        name = f".before-{stamp}"
        self.kept = self.path / name if self.within else self.path.with_name(f"{self.path.name}{name}")
        try:
            old, new = self._renames(self.beside / CONTENT)
            if self.within and old:
                self.kept.mkdir()
            for source, target in [*old, *new]:
                source.rename(target)
                self._renamed.append((source, target))
        except OSError as error:
            raise DiskFailed(
                f"{self.path}: {error.strerror or error}: it cannot change places with what was restored; "
                "nothing was changed"
            ) from error
        return self.kept if old else None

    def _renames(self, content: Path) -> tuple[list[tuple[Path, Path]], list[tuple[Path, Path]]]:
        """Return the moves: first the present content, then the restored one."""
        if self.within:
            old = [(entry, self.kept / entry.name) for entry in _entries(self.path)]
            return old, [(entry, self.path / entry.name) for entry in _entries(content)]
        old = [(self.path, self.kept)] if self.path.exists() else []
        return old, [(content, self.path)] if content.exists() else []

    def undo(self) -> None:
        """Restore what was there before `swap`, as far as that came.

        Raises:
            DiskFailed: it is where the message says.
        """
        try:
            while self._renamed:
                source, target = self._renamed[-1]
                target.rename(source)
                self._renamed.pop()
            if self.within:
                with suppress(OSError):  # what has something in it is not of this run
                    self.kept.rmdir()
        except OSError as error:
            raise DiskFailed(
                f"{self.path}: {error.strerror or error}: what was there could not be put back: it is in {self.kept}"
            ) from error

    def discard(self) -> None:
        """Leave nothing beside."""
        shutil.rmtree(self.beside, ignore_errors=True)


def place_of(recorded: str, paths: tuple[str, ...]) -> Path:
    """Return the destination of a folder that was backed up: the one of `paths` that has its last name.

    Raises:
        DiskFailed: there is none.
    """
    for path in paths:
        if Path(path).name == Path(recorded).name:
            return Path(path).resolve()  # what a link leads to changes places, and the link stays
    raise DiskFailed(f"the backup has {recorded}: name in BACKUPS__PATHS where it goes")
