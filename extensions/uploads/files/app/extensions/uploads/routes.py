"""The routes of a feature that takes files: uploaded as a form, downloaded as attachments."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from fastapi.params import Depends as Dependency
from fastapi.responses import StreamingResponse

from app.core import context
from app.core.errors import ServiceError, problems
from app.core.http.endpoints import Router
from app.core.schema import headers_of
from app.core.versioning import versioned
from app.extensions.uploads import checks
from app.extensions.uploads.receiving import Batch, UploadsDep

ENVELOPE = 65_536
"""Bytes for the headers of the parts."""
UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_FILE = {"type": "string", "format": "binary"}
_FILES = {"type": "object", "properties": {"files": {"type": "array", "items": _FILE}}}
_FORM = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FILES}}}}
_WHOLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": _FILE}}, **headers_of(200, "ETag")[200]}
}


def routes(name: str, *, write: Sequence[Dependency] = (), read: Sequence[Dependency] = ()) -> Router:
    """Return the routes of a feature: `POST /api/v1/{name}` takes files, `GET /api/v1/{name}/{id}` returns one.

    Args:
        name: the last part of the prefix, the tag in the docs, and the collection of the files.
        write: the dependencies of the first route, such as a guard.
        read: the dependencies of the second route.
    """
    router = versioned(name)

    @router.post(
        "",
        status_code=201,
        dependencies=[*write, Depends(_make_room)],
        responses={
            207: {"model": Batch, "description": "Some of the files were not stored."},
            **problems(*checks.REFUSALS, *checks.FORM_ERRORS, checks.StorageFull, checks.StorageFailed),
        },
        openapi_extra=_FORM,
    )
    async def upload(request: Request, response: Response, uploads: UploadsDep) -> Batch:
        """Store the files of a form, and return a result for each."""
        try:
            batch = await uploads.receive(request, name)
        except ServiceError:
            _hang_up()
            raise
        if not batch.complete:
            _hang_up()
        if not batch.stored:
            raise _refusal(batch)
        if len(batch.stored) < len(batch.files):
            response.status_code = 207
        return batch

    @router.get(
        "/{upload_id}",
        dependencies=[*read],
        responses={**_WHOLE, **problems(checks.UploadNotFound, checks.StorageFailed)},
        response_class=StreamingResponse,
    )
    async def download(upload_id: UploadId, uploads: UploadsDep) -> StreamingResponse:
        """Return a file, which a browser saves and does not show."""
        record, content = await uploads.find(name, upload_id)
        headers = {
            "Content-Disposition": checks.attachment(record.name),
            "Content-Length": str(record.size),
            "ETag": f'"{record.sha256}"',
        }
        return StreamingResponse(content, media_type=record.media_type, headers=headers)

    return router


async def _make_room(uploads: UploadsDep) -> None:
    """Allow a larger body for this request, and more time for it."""
    current = context.current()
    if current:
        current.body_limit = uploads.settings.files * uploads.settings.file_limit + ENVELOPE
        current.body_seconds = uploads.settings.receive_timeout


def _hang_up() -> None:
    """Close the connection after the answer: the rest of the body is not read."""
    if current := context.current():
        current.headers.append((b"connection", b"close"))


def _refusal(batch: Batch) -> ServiceError:
    """Return the error if nothing was stored: that of the file, if there is only one."""
    errors = [
        {"field": f"files.{file.position}", "message": file.message or "", "code": file.code or ""}
        for file in batch.files
    ]
    if not errors:
        return checks.FilesMissing()
    if len(errors) > 1:
        return checks.FilesRefused(errors=errors)
    kind = next(refusal for refusal in checks.REFUSALS if refusal.code == errors[0]["code"])
    return kind(errors[0]["message"], errors=errors)
