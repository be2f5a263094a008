"""Receiving files: each is checked while it arrives, and stored whole or not at all."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.requests import HTTPConnection

from app.core import context
from app.core.schema import Schema
from app.core.telemetry import BusinessEvent, SecurityEvent, emit
from app.extensions.uploads import checks
from app.extensions.uploads.forms import Form, Part
from app.extensions.uploads.storage import Directory, Record, logger

if TYPE_CHECKING:
    from app.extensions.uploads.bucket import Bucket


class FileResult(Schema):
    """The result of one file: its `id`, or the `code` of the error."""

    position: int
    name: str | None = None
    id: str | None = None
    media_type: str | None = None
    size: int | None = None
    sha256: str | None = None
    code: str | None = None
    message: str | None = None


class Batch(Schema):
    """The results of the files of one request, in their order."""

    id: str
    files: list[FileResult]
    complete: bool
    """False if a file was too large, and the rest was not read."""

    @property
    def stored(self) -> list[str]:
        return [file.id for file in self.files if file.id]


class Uploads:
    """Receives, finds and deletes files."""

    def __init__(self, settings: checks.UploadsSettings, storage: "Directory | Bucket") -> None:
        self.settings = settings
        self.storage = storage

    async def receive(self, request: Request, collection: str) -> Batch:
        """Store the files of a form in a collection: they are found by its name only.

        If this raises, nothing is stored. If you fail after it, delete the files of `Batch.stored`.

        Raises:
            ServiceError: the form cannot be read, or the storage does not work.
        """
        form = Form(request.headers.get("content-type", ""), request.stream(), most_parts=self.settings.files)
        batch = Batch(id=checks.new_id(), files=[], complete=True)
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
        """Return a file of a collection with its content, or raise `UploadNotFound` or `StorageFailed`."""
        return await self.storage.find(collection, upload_id)

    async def delete(self, collection: str, upload_id: str) -> None:
        """Remove a file of a collection, if it exists, or raise `UploadNotFound` or `StorageFailed`."""
        await self.storage.delete(collection, upload_id)

    async def _take(self, part: Part, given: bytes, collection: str, batch: Batch, stored: list[Record]) -> FileResult:
        result = FileResult(position=len(batch.files))
        try:
            result.name = checks.checked_name(given)
            record = await self._store(part, result.name, collection, batch.id)
        except checks.REFUSALS as refusal:
            emit(SecurityEvent("upload_refused", subject=result.name or "", reason=refusal.code))
            return result.model_copy(update={"code": refusal.code, "message": refusal.message})
        stored.append(record)
        return result.model_copy(update=record.model_dump(include={"id", "media_type", "size", "sha256"}))

    async def _store(self, part: Part, name: str, collection: str, batch_id: str) -> Record:
        kind = checks.KINDS.get(checks.extension(name))
        if kind is None or checks.extension(name) not in self.settings.types:
            raise checks.FileTypeRefused(f"files of this type are not accepted: send {', '.join(self.settings.types)}")
        inspector, upload_id, request = checks.Inspector(kind), checks.new_id(), context.current()
        draft = await self.storage.draft(upload_id)
        try:
            async for data in part.content():
                if draft.size + len(data) > self.settings.file_limit:
                    part.too_large = True
                    raise checks.FileTooLarge(f"the file is larger than {self.settings.file_limit} bytes")
                inspector.feed(data)
                await draft.write(data)
            if not draft.size:
                raise checks.FileEmpty
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
            await self.storage.keep(draft, record)
        finally:
            self.storage.discard(draft)
        return record

    async def _skip(self, part: Part) -> bool:
        """Skip the rest of a part. Return false if that is too much, which ends the request."""
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
        except (checks.StorageFailed, checks.StorageFull) as error:
            logger.warning("a file of a failed upload could not be removed: %s (%r)", record.id, error.__cause__)


async def _current_uploads(request: HTTPConnection) -> Uploads:
    uploads: Uploads = request.state.uploads
    return uploads


UploadsDep = Annotated[Uploads, Depends(_current_uploads)]
"""`await uploads.receive(request, "documents")`, `.find("documents", id)` and `.delete("documents", id)`."""
