"""Receiving files: each is checked while it arrives, and stored whole or not at all."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.requests import HTTPConnection

from app.core import context
from app.core.errors import ServiceError, problems
from app.core.schema import Schema
from app.core.telemetry import BusinessEvent, SecurityEvent, emit
from app.extensions.uploads import checks
from app.extensions.uploads.forms import Form, Part
from app.extensions.uploads.storage import Directory, Record, logger

if TYPE_CHECKING:
    from app.extensions.uploads.bucket import Bucket

ENVELOPE = 65_536
"""Bytes for the headers of the parts."""
FILE = {"type": "string", "format": "binary"}
_FILES = {"type": "object", "required": ["files"], "properties": {"files": {"type": "array", "items": FILE}}}
UPLOAD_FORM: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FILES}}}
}
"""The form of a route that takes files, for its `openapi_extra=`."""
UPLOAD_RESPONSES = problems(*checks.REFUSALS, *checks.FORM_ERRORS, checks.StorageFull, checks.StorageFailed)
"""The errors of a route that takes files, for its `responses=`."""


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

    def refusal(self) -> ServiceError | None:
        """Return the error for the refused files: that of the file, if there is only one. None if all are stored."""
        refused = [file for file in self.files if file.code]
        errors = [
            {"field": f"files.{file.position}", "message": file.message or "", "code": file.code or ""}
            for file in refused
        ]
        if not self.files:
            return checks.FilesMissing()
        if len(errors) > 1:
            return checks.FilesRefused(errors=errors)
        kinds = [kind for kind in checks.REFUSALS if errors and kind.code == errors[0]["code"]]
        return kinds[0](errors[0]["message"], errors=errors) if kinds else None


class Uploads:
    """Receives, finds and deletes files."""

    def __init__(self, settings: checks.UploadsSettings, storage: "Directory | Bucket") -> None:
        self.settings = settings
        self.storage = storage

    async def receive(
        self, request: Request, collection: str, *, types: Sequence[str] | None = None, whole: bool = False
    ) -> Batch:
        """Store the files of a form in a collection: they are found by its name only.

        If this raises, nothing is stored. If you fail after it, delete the files of `Batch.stored`.

        Args:
            request: its body is read here, and may be larger than others.
            collection: the name of the collection.
            types: the accepted extensions, in place of `UPLOADS__TYPES`.
            whole: if a file is refused, raise its error and store none.

        Raises:
            ServiceError: the form cannot be read, or the storage does not work. With `whole`: a file is refused.
        """
        self.make_room()
        form = Form(request.headers.get("content-type", ""), request.stream(), most_parts=self.settings.files)
        batch = Batch(id=checks.new_id(), files=[], complete=True)
        accepted = self.settings.types if types is None else checks.known(tuple(types))
        stored: list[Record] = []
        try:
            async for part in form.parts():
                if part.filename is not None:
                    batch.files.append(await self._take(part, part.filename, collection, batch, stored, accepted))
                if not await self._skip(part):
                    batch.complete = False
                    break
        except BaseException as error:
            await self._forget(stored)
            if isinstance(error, ServiceError):
                _hang_up()
            raise
        if not batch.complete:
            _hang_up()
        if whole and (refusal := batch.refusal()):
            await self._forget(stored)
            raise refusal
        for record in stored:
            emit(BusinessEvent("file_uploaded", subject=record.id, after=record.model_dump(mode="json")))
        return batch

    def make_room(self) -> None:
        """Allow a larger body for this request, and more time for it."""
        if current := context.current():
            current.body_limit = self.settings.files * self.settings.file_limit + ENVELOPE
            current.body_seconds = self.settings.receive_timeout

    async def find(self, collection: str, upload_id: str) -> tuple[Record, AsyncIterator[bytes]]:
        """Return a file of a collection with its content, or raise `UploadNotFound` or `StorageFailed`."""
        return await self.storage.find(collection, upload_id)

    async def delete(self, collection: str, upload_id: str) -> None:
        """Remove a file of a collection, if it exists, or raise `UploadNotFound` or `StorageFailed`."""
        await self.storage.delete(collection, upload_id)

    async def _take(
        self, part: Part, given: bytes, collection: str, batch: Batch, stored: list[Record], types: Sequence[str]
    ) -> FileResult:
        result = FileResult(position=len(batch.files))
        try:
            result.name = checks.checked_name(given)
            record = await self._store(part, result.name, collection, batch.id, types)
        except checks.REFUSALS as refusal:
            emit(SecurityEvent("upload_refused", subject=result.name or "", reason=refusal.code))
            return result.model_copy(update={"code": refusal.code, "message": refusal.message})
        stored.append(record)
        return result.model_copy(update=record.model_dump(include={"id", "media_type", "size", "sha256"}))

    async def _store(self, part: Part, name: str, collection: str, batch_id: str, types: Sequence[str]) -> Record:
        kind = checks.KINDS.get(checks.extension(name))
        if kind is None or checks.extension(name) not in types:
            raise checks.FileTypeRefused(f"files of this type are not accepted: send {', '.join(types)}")
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

    async def _forget(self, stored: Sequence[Record]) -> None:
        for record in stored:
            try:
                await self.storage.delete(record.collection, record.id)
            except (checks.StorageFailed, checks.StorageFull) as error:
                logger.warning("a file of a failed upload could not be removed: %s (%r)", record.id, error.__cause__)


def _hang_up() -> None:
    """Close the connection after the answer: the rest of the body is not read."""
    if current := context.current():
        current.headers.append((b"connection", b"close"))


async def _current_uploads(request: HTTPConnection) -> Uploads:
    uploads: Uploads = request.state.uploads
    return uploads


UploadsDep = Annotated[Uploads, Depends(_current_uploads)]
"""`await uploads.receive(request, "documents")`, `.find("documents", id)` and `.delete("documents", id)`."""
