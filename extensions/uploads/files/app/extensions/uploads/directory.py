"""Files in a directory of this machine, or one that several machines mount."""

import fcntl
import os
import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from anyio import to_thread

from app.core.errors import ConfigurationInvalid
from app.extensions.uploads.errors import UploadNotFound, of_disk
from app.extensions.uploads.names import checked_id
from app.extensions.uploads.storage import BLOCK, Draft, Record, logger, record_of

DATA, RECORD, UNFINISHED = "data", "record.json", ".part"


class DirectoryDraft(Draft):
    """A folder that gets its name when it is whole. Whoever writes it holds a lock on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        super().__init__((folder / DATA).open("xb"))
        fcntl.flock(self.file, fcntl.LOCK_EX)

    async def keep(self, record: Record) -> None:
        """Make it a stored file: on the disk, and not only in its cache."""
        await self.flush()
        try:
            await to_thread.run_sync(self._keep, record.model_dump_json().encode())
        except OSError as error:
            raise of_disk(error) from error

    def _keep(self, record: bytes) -> None:
        os.fsync(self.file.fileno())
        with (self.folder / RECORD).open("xb") as file:
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        _sync(self.folder)
        self.folder.rename(self.folder.with_suffix(""))
        _sync(self.folder.parent)

    def discard(self) -> None:
        """Leave nothing of it, unless it has been kept."""
        with suppress(OSError):
            self.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Directory:
    """A folder for each file, which holds its content and its record."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def prepare(self) -> None:
        """Make the directory, and remove what processes that were killed have left half-written.

        Raises:
            ConfigurationInvalid: it cannot be made, or nothing can be written there.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with self._locked(fcntl.LOCK_EX):
                for folder in self.path.glob(f"*{UNFINISHED}"):
                    if not _is_written(folder / DATA):
                        shutil.rmtree(folder)
                        logger.warning("removed an upload that was never finished: %s", folder.stem)
        except OSError as error:
            raise ConfigurationInvalid(
                f"UPLOADS__DIRECTORY: cannot write to {self.path} ({error.strerror}): name another one"
            ) from error

    async def draft(self, upload_id: str) -> Draft:
        """Begin a file."""

        def begin() -> Draft:
            with self._locked(fcntl.LOCK_SH):  # nobody removes the folder before it has its lock
                return DirectoryDraft(self.path / f"{upload_id}{UNFINISHED}")

        try:
            return await to_thread.run_sync(begin)
        except OSError as error:
            raise of_disk(error) from error

    async def find(self, collection: str, upload_id: str) -> tuple[Record, AsyncIterator[bytes]]:
        """A file with its content."""
        folder = self.path / checked_id(upload_id)
        try:
            record = record_of(await to_thread.run_sync((folder / RECORD).read_bytes), collection)
            file = await to_thread.run_sync((folder / DATA).open, "rb")
        except FileNotFoundError:
            raise UploadNotFound from None
        except OSError as error:
            raise of_disk(error) from error

        async def content() -> AsyncIterator[bytes]:
            with file:
                while data := await to_thread.run_sync(file.read, BLOCK):
                    yield data

        return record, content()

    async def delete(self, collection: str, upload_id: str) -> None:
        """Remove a file: first its record, so that it is gone at once or not at all."""
        folder = self.path / checked_id(upload_id)

        def remove() -> None:
            with suppress(FileNotFoundError):
                record_of((folder / RECORD).read_bytes(), collection)
                (folder / RECORD).unlink()
                shutil.rmtree(folder)

        try:
            await to_thread.run_sync(remove)
        except OSError as error:
            raise of_disk(error) from error

    async def probe(self) -> Mapping[str, Any]:
        """How much room there is."""
        usage = await to_thread.run_sync(shutil.disk_usage, self.path)
        if not os.access(self.path, os.W_OK):
            raise PermissionError(f"{self.path} cannot be written to")
        return {"free": usage.free}

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        with (self.path / ".lock").open("ab") as lock:
            fcntl.flock(lock, how)
            yield


def _is_written(data: Path) -> bool:
    """Whether a living process writes to it."""
    try:
        with data.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
