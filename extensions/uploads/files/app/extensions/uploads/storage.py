"""The storage: a file becomes visible whole, with its record, or not at all. Here in a directory."""

import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO, Any, TypeVar

from anyio import to_thread
from pydantic import BaseModel

from app.core.errors import ConfigurationInvalid
from app.extensions.uploads.checks import UploadNotFound, checked_id, of_disk

BLOCK = 262_144
"""Bytes of one write or read."""

DATA, RECORD, UNFINISHED = "data", "record.json", ".part"
logger = logging.getLogger(__name__)
T = TypeVar("T")


class Record(BaseModel):
    """The record of a stored file."""

    id: str
    collection: str
    """The collection: the file is found and removed by this name only."""
    batch: str
    name: str
    """The name that the client sent."""
    media_type: str
    size: int
    sha256: str
    uploaded: datetime
    by: str | None
    """The user or the key of the request, if known."""


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Call a function that uses the disk in a thread, and translate its errors."""
    try:
        return await to_thread.run_sync(function, *arguments)
    except OSError as error:
        raise of_disk(error) from error


def record_of(told: bytes, collection: str) -> Record:
    """Return the record of a file, or raise `UploadNotFound` if it belongs to another collection."""
    record = Record.model_validate_json(told)
    if record.collection != collection:
        raise UploadNotFound
    return record


class Draft:
    """A file that arrives, in a place where it cannot be read yet. The storage keeps or discards it."""

    def __init__(self, upload_id: str, file: IO[bytes]) -> None:
        self.id = upload_id
        self.file = file
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._waiting = bytearray()

    @property
    def sha256(self) -> str:
        return self._sha256.hexdigest()

    async def write(self, data: bytes) -> None:
        self.size += len(data)
        self._waiting += data
        if len(self._waiting) >= BLOCK:
            await self.flush()

    async def flush(self) -> None:
        block, self._waiting = self._waiting, bytearray()
        await in_thread(self._write, block)

    def _write(self, block: bytearray) -> None:
        self._sha256.update(block)
        self.file.write(block)
        self.file.flush()


class Directory:
    """A directory with a folder for each file: its content and its record. `Bucket` has the same methods.

    The folder of a draft gets its final name when it is whole. Its writer holds a lock on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def prepare(self) -> None:
        """Create the directory, and remove unfinished uploads of processes that were killed."""
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
        return await in_thread(self._begin, upload_id)

    def _begin(self, upload_id: str) -> Draft:
        with self._locked(fcntl.LOCK_SH):  # no other process removes the folder before it has its lock
            folder = self._unfinished(upload_id)
            folder.mkdir()
            draft = Draft(upload_id, (folder / DATA).open("xb"))
            fcntl.flock(draft.file, fcntl.LOCK_EX)
            return draft

    async def keep(self, draft: Draft, record: Record) -> None:
        """Make it a stored file, on the disk and not only in its cache."""
        await draft.flush()
        await in_thread(self._keep, draft, record.model_dump_json().encode())

    def _keep(self, draft: Draft, record: bytes) -> None:
        folder = self._unfinished(draft.id)
        os.fsync(draft.file.fileno())
        with (folder / RECORD).open("xb") as file:
            file.write(record)
            file.flush()
            os.fsync(file.fileno())
        _sync(folder)
        folder.rename(self.path / draft.id)
        _sync(self.path)

    def discard(self, draft: Draft) -> None:
        """Remove it, unless it was kept."""
        with suppress(OSError):
            draft.file.close()
        shutil.rmtree(self._unfinished(draft.id), ignore_errors=True)

    def _unfinished(self, upload_id: str) -> Path:
        return self.path / f"{upload_id}{UNFINISHED}"

    async def find(self, collection: str, upload_id: str) -> tuple[Record, AsyncIterator[bytes]]:
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
        """Remove a file, its record first: it is gone at once or not at all."""
        folder = self.path / checked_id(upload_id)

        def remove() -> None:
            with suppress(FileNotFoundError):
                record_of((folder / RECORD).read_bytes(), collection)
                (folder / RECORD).unlink()
                shutil.rmtree(folder)

        await in_thread(remove)

    async def probe(self) -> Mapping[str, Any]:
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
    """Return true if a living process writes to it."""
    with suppress(FileNotFoundError), data.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
