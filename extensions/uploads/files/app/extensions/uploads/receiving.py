"""Receiving files: each is checked while it comes in, and stored whole or not at all."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from app.core import context
from app.core.schema import Schema
from app.core.telemetry import BusinessEvent, SecurityEvent, emit
from app.extensions.uploads import names
from app.extensions.uploads.errors import REFUSALS, FileEmpty, FileTooLarge, FileTypeRefused, StorageFailed, StorageFull
from app.extensions.uploads.forms import Form, Part
from app.extensions.uploads.kinds import KINDS, Inspector
from app.extensions.uploads.settings import UploadsSettings
from app.extensions.uploads.storage import Record, Storage, logger


class FileResult(Schema):
    """What has become of one file: it has an `id`, or a `code` that says why not."""

    position: int
    name: str | None = None
    id: str | None = None
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    code: str | None = None
    message: str | None = None


class Batch(Schema):
    """What has become of the files of one request, in their order."""

    id: str
    files: list[FileResult]
    complete: bool
    """False where a file was too large, and nothing behind it was read."""

    @property
    def stored(self) -> list[str]:
        """The ids of the files that were stored."""
        return [file.id for file in self.files if file.id]


class Uploads:
    """Takes files out of requests, and gives them back."""

    def __init__(self, settings: UploadsSettings, storage: Storage) -> None:
        self.settings = settings
        self.storage = storage

    async def receive(self, request: Request, collection: str) -> Batch:
        """Store the files of a form, in a collection: whoever does not name it finds none of them.

        What fails in here leaves nothing. Whoever fails after it deletes what `Batch.stored` lists.

        Raises:
            ServiceError: the form cannot be read, or the storage does not do its part.
        """
        form = Form(request.headers.get("content-type", ""), request.stream(), most_parts=self.settings.files)
        batch = Batch(id=names.new_id(), files=[], complete=True)
        stored: list[Record] = []
        try:
            async for part in form.parts():
                if part.filename is not None:
                    batch.files.append(await self._take(part, part.filename, collection, batch, stored))
                if not await self._skip(part):
                    batch.complete = False
                    break
        except BaseException:
            for record in stored:
                await self._forget(record)
            raise
        for record in stored:
            emit(BusinessEvent("file_uploaded", subject=record.id, after=record.model_dump(mode="json")))
        return batch

    async def find(self, collection: str, upload_id: str) -> tuple[Record, AsyncIterator[bytes]]:
        """A file of a collection, with its content.

        Raises:
            UploadNotFound: there is none in this collection.
            StorageFailed: the storage does not answer.
        """
        return await self.storage.find(collection, upload_id)

    async def delete(self, collection: str, upload_id: str) -> None:
        """Remove a file of a collection. It is no error if there is none.

        Raises:
            UploadNotFound: it belongs to another collection, or the id is none of ours.
            StorageFailed: the storage does not answer.
        """
        await self.storage.delete(collection, upload_id)

    async def _take(self, part: Part, given: bytes, collection: str, batch: Batch, stored: list[Record]) -> FileResult:
        result = FileResult(position=len(batch.files))
        try:
            result.name = names.checked(given)
            record = await self._store(part, result.name, collection, batch.id)
        except REFUSALS as refusal:
            emit(SecurityEvent("upload_refused", subject=result.name or "", reason=refusal.code))
            return result.model_copy(update={"code": refusal.code, "message": refusal.message})
        stored.append(record)
        return result.model_copy(update=record.model_dump(include={"id", "media_type", "size", "sha256"}))

    async def _store(self, part: Part, name: str, collection: str, batch_id: str) -> Record:
        kind = KINDS.get(names.extension(name))
        if kind is None or names.extension(name) not in self.settings.types:
            raise FileTypeRefused(f"files of this type are not taken: send {', '.join(self.settings.types)}")
        inspector, upload_id, request = Inspector(kind), names.new_id(), context.current()
        draft = await self.storage.draft(upload_id)
        try:
            async for data in part.content():
                if draft.size + len(data) > self.settings.file_limit:
                    part.too_large = True
                    raise FileTooLarge(f"the file is larger than {self.settings.file_limit} bytes")
                inspector.feed(data)
                await draft.write(data)
            if not draft.size:
                raise FileEmpty
            inspector.finish()
            await draft.flush()
            record = Record(
                id=upload_id,
                collection=collection,
                batch=batch_id,
                name=name,
                media_type=kind.media_type,
                size=draft.size,
                sha256=draft.sha256,
                uploaded=datetime.now(UTC),
                by=request.principal if request else None,
            )
            await draft.keep(record)
        finally:
            draft.discard()
        return record

    async def _skip(self, part: Part) -> bool:
        """Read over what is left of a part. False where that is too much: the request then ends here."""
        if part.too_large:
            return False
        size = 0
        async for data in part.content():
            size += len(data)
            if size > self.settings.file_limit:
                return False
        return True

    async def _forget(self, record: Record) -> None:
        try:
            await self.storage.delete(record.collection, record.id)
        except (StorageFailed, StorageFull) as error:
            logger.warning("a file that nobody knows of could not be removed: %s (%r)", record.id, error.__cause__)


async def _current_uploads(request: Request) -> Uploads:
    uploads: Uploads = request.state.uploads
    return uploads


UploadsDep = Annotated[Uploads, Depends(_current_uploads)]
"""`await uploads.receive(request, "documents")`, `.find("documents", id)` and `.delete("documents", id)`."""
