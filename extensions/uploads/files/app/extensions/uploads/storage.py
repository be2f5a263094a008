"""What a storage is: a place to which a file comes whole, with its record, or not at all."""

import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import IO, Any, Protocol

from anyio import to_thread
from pydantic import BaseModel

from app.extensions.uploads.errors import UploadNotFound, of_disk

BLOCK = 262_144
"""Bytes that are written, or read, at once."""

logger = logging.getLogger(__name__)


class Record(BaseModel):
    """What is known of a stored file."""

    id: str
    collection: str
    """What it belongs to: it is found and removed by this name only."""
    batch: str
    name: str
    """What the client called it."""
    media_type: str
    size: int
    sha256: str
    uploaded: datetime
    by: str | None
    """The user or the key that it came from, where that is known."""


def record_of(told: bytes, collection: str) -> Record:
    """The record of a file that belongs to a collection.

    Raises:
        UploadNotFound: it belongs to another one.
    """
    record = Record.model_validate_json(told)
    if record.collection != collection:
        raise UploadNotFound
    return record


class Draft:
    """A file that is coming in, in a place where nobody reads it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._length = 0

    @property
    def sha256(self) -> str:
        """The checksum of what has been written."""
        return self._sha256.hexdigest()

    async def write(self, data: bytes) -> None:
        """Add to it.

        Raises:
            StorageFull: there is no room for it.
        """
        self.size += len(data)
        self._length += len(data)
        self._waiting.append(data)
        if self._length >= BLOCK:
            await self.flush()

    async def flush(self) -> None:
        """Write down what waits: in a thread, since a disk may take its time."""
        block, self._waiting, self._length = b"".join(self._waiting), [], 0
        try:
            await to_thread.run_sync(self._write, block)
        except OSError as error:
            raise of_disk(error) from error

    def _write(self, block: bytes) -> None:
        self._sha256.update(block)
        self.file.write(block)
        self.file.flush()

    async def keep(self, record: Record) -> None:
        """Make it a stored file: from now on it is found, with its record.

        Raises:
            ServiceError: it could not be stored.
        """
        raise NotImplementedError

    def discard(self) -> None:
        """Leave nothing of it, unless it has been kept."""
        raise NotImplementedError


class Storage(Protocol):
    """Where files are."""

    async def draft(self, upload_id: str) -> Draft:
        """Begin a file."""

    async def find(self, collection: str, upload_id: str) -> tuple[Record, AsyncIterator[bytes]]:
        """A file with its content.

        Raises:
            UploadNotFound: there is none in this collection.
        """

    async def delete(self, collection: str, upload_id: str) -> None:
        """Remove a file. It is no error if there is none.

        Raises:
            UploadNotFound: it belongs to another collection, or the id is none of ours.
        """

    async def probe(self) -> Mapping[str, Any]:
        """Facts for operators.

        Raises:
            Exception: nothing can be stored there.
        """
