"""Folders and files that are backed up with the database: as a tar, and put back as a whole."""

import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from ops.backups.errors import BackupRefused, DiskFailed, disk
from ops.backups.sealing import BLOCK, Target

CONTENT = "content"


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
        except Exception as error:  # noqa: BLE001  # raised where somebody waits for it
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
            for below in sorted(path.iterdir()):
                _add(archive, below, f"{name}/{below.name}")
    except FileNotFoundError:
        return


class Unpacked:
    """What a tar has, beside the place that it will take."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.beside = path.with_name(f"{path.name}.restoring")

    @contextmanager
    def target(self) -> Iterator[Target]:
        """Give the tar to this."""
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

    def swap(self, stamp: str) -> Path | None:
        """Take the place; what was there is kept under the name that is returned."""
        kept = self.path.with_name(f"{self.path.name}.before-{stamp}")
        with disk(self.path):
            there = self.path.exists()
            if there:
                self.path.rename(kept)
            if (self.beside / CONTENT).exists():
                (self.beside / CONTENT).rename(self.path)
        return kept if there else None

    def discard(self) -> None:
        """Leave nothing beside."""
        shutil.rmtree(self.beside, ignore_errors=True)


def place_of(recorded: str, paths: tuple[str, ...]) -> Path:
    """Where a folder goes that was backed up: to the one of `paths` that has its last name.

    Raises:
        DiskFailed: there is none.
    """
    for path in paths:
        if Path(path).name == Path(recorded).name:
            return Path(path).absolute()
    raise DiskFailed(f"the backup has {recorded}: name in BACKUPS__PATHS where it goes")
