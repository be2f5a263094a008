"""The routes of a feature that takes files: uploaded as a form, downloaded as attachments."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response
from fastapi.params import Depends as Dependency
from fastapi.responses import StreamingResponse

from app.core.errors import problems
from app.core.http.endpoints import Router
from app.core.schema import headers_of
from app.core.versioning import versioned
from app.extensions.uploads import checks
from app.extensions.uploads.receiving import FILE, UPLOAD_FORM, UPLOAD_RESPONSES, Batch, UploadsDep

UploadId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_WHOLE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": FILE}}, **headers_of(200, "ETag")[200]}
}


def routes(
    name: str, *, write: Sequence[Dependency] = (), read: Sequence[Dependency] = (), types: Sequence[str] | None = None
) -> Router:
    """Return the routes of a feature: `POST /api/v1/{name}` takes files, `GET /api/v1/{name}/{id}` returns one.

    Args:
        name: the last part of the prefix, the tag in the docs, and the collection of the files.
        write: the dependencies of the first route, such as a guard.
        read: the dependencies of the second route.
        types: the accepted extensions, in place of `UPLOADS__TYPES`.
    """
    router = versioned(name)
    accepted = None if types is None else checks.known(tuple(types))

    @router.post(
        "",
        status_code=201,
        dependencies=[*write, Depends(_make_room)],
        responses={
            207: {"model": Batch, "description": "Some of the files were not stored."},
            **UPLOAD_RESPONSES,
        },
        openapi_extra=UPLOAD_FORM,
    )
    async def upload(request: Request, response: Response, uploads: UploadsDep) -> Batch:
        """Store the files of a form, and return a result for each."""
        batch = await uploads.receive(request, name, types=accepted)
        if not batch.stored and (refusal := batch.refusal()):
            raise refusal
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
    """Allow a larger body before anything else reads it."""
    uploads.make_room()
