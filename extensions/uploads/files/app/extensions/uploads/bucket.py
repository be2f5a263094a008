"""Files in a bucket of an S3-compatible store: each is one object, which carries its record."""

import asyncio
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from tempfile import TemporaryFile
from typing import Any

import obstore
from anyio import to_thread
from obstore.exceptions import BaseError
from obstore.store import S3Store

from app.extensions.uploads.checks import StorageFailed, UploadNotFound, UploadsSettings, checked_id
from app.extensions.uploads.storage import BLOCK, Draft, Record, in_thread, record_of

AT_ONCE = 4
"""Files that are sent at the same time: each is in memory."""
RECORD = "record"


class Bucket:
    """A client of the store, which repeats a failed request once.

    A draft is an unnamed file on this machine, which disappears with its process, until it is sent in one request: an
    object that is sent in parts has no checksum, and a killed process leaves its parts.
    """

    def __init__(self, settings: UploadsSettings) -> None:
        self.prefix = settings.prefix
        self.sending = asyncio.Semaphore(AT_ONCE)
        seconds = timedelta(seconds=settings.timeout)
        key = {}
        if settings.secret_key is not None:
            key = {"access_key_id": settings.access_key, "secret_access_key": settings.secret_key.get_secret_value()}
        if settings.endpoint:
            key["endpoint"] = settings.endpoint
        self.store = S3Store(
            settings.bucket,
            region=settings.region,
            client_options={
                "timeout": seconds,
                "connect_timeout": min(seconds, timedelta(seconds=3)),
                "allow_http": (settings.endpoint or "").startswith("http://"),
            },
            retry_config={"max_retries": 1, "retry_timeout": seconds},
            **key,  # type: ignore[arg-type]  # its keywords
        )

    async def draft(self, upload_id: str) -> Draft:
        return Draft(upload_id, await in_thread(TemporaryFile))

    async def keep(self, draft: Draft, record: Record) -> None:
        """Make it a stored file with this record."""
        told = urlsafe_b64encode(record.model_dump_json().encode()).decode()
        attributes = {"Content-Type": record.media_type, "Content-Disposition": "attachment", RECORD: told}
        await draft.flush()
        draft.file.seek(0)
        async with self.sending:
            content = await to_thread.run_sync(draft.file.read)
            with _translated():
                await obstore.put_async(
                    self.store, self.prefix + draft.id, content, attributes=attributes, use_multipart=False
                )

    def discard(self, draft: Draft) -> None:
        """Remove it from this machine."""
        with suppress(OSError):
            draft.file.close()

    async def find(self, collection: str, upload_id: str) -> tuple[Record, AsyncIterator[bytes]]:
        found = await self._get(upload_id)
        if found is None:
            raise UploadNotFound
        record = record_of(urlsafe_b64decode(found.attributes[RECORD]), collection)

        async def content() -> AsyncIterator[bytes]:
            async for data in found.stream(min_chunk_size=BLOCK):
                yield bytes(data)

        return record, content()

    async def delete(self, collection: str, upload_id: str) -> None:
        found = await self._get(upload_id, head=True)
        if found is None:
            return
        record_of(urlsafe_b64decode(found.attributes[RECORD]), collection)
        with _translated(), suppress(FileNotFoundError):
            await obstore.delete_async(self.store, self.prefix + upload_id)

    async def _get(self, upload_id: str, *, head: bool = False) -> "obstore.GetResult | None":  # a name of its stubs
        with _translated(), suppress(FileNotFoundError):
            return await obstore.get_async(self.store, self.prefix + checked_id(upload_id), options={"head": head})
        return None

    async def probe(self) -> Mapping[str, Any]:
        """Ask the bucket."""
        with _translated():
            async for _ in obstore.list(self.store, self.prefix, chunk_size=1):
                break
        return {}


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        # Without the dump of the client's internals, which is forty lines.
        raise StorageFailed from ConnectionError(str(error).partition("\n\nDebug source")[0])
