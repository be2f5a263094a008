"""Routes of every kind, for the tests of envelopes."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request, Response, status
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.core.errors import Conflict
from app.core.pagination import CursorPage, CursorQuery, Page, PageQuery, cursor_links, page_links
from app.core.schema import Schema
from app.core.versioning import versioned

router = versioned("things")


class Thing(Schema):
    """A thing."""

    name: str


class Row:
    """A row as a database might give it."""

    name = "nut"


@router.get("/one")
async def one(response: Response) -> Thing:
    """One thing, with a tag."""
    response.headers["ETag"] = '"1"'
    return Thing(name="bolt")


@router.get("/sync", response_model=Thing)
def sync() -> Any:
    """A row, in a thread."""
    return Row()


@router.post("", status_code=status.HTTP_201_CREATED)
async def create(thing: Thing, response: Response, *, again: bool = False) -> Thing:
    """Created, or there already."""
    if again:
        response.status_code = 200
    return thing


async def accept(response: Response) -> None:
    """Says that it is done later."""
    response.status_code = 202


@router.post("/later")
async def later(_: Annotated[None, Depends(accept)]) -> None:
    """Returns nothing."""


@router.get("/untyped")
async def untyped():  # type: ignore[no-untyped-def]  # noqa: ANN201, RUF100  # an owner may leave it out
    """Says nothing of what it returns."""
    return {"any": [1, 2]}


@router.get("")
async def page(request: Request, params: PageQuery) -> Page[Thing]:
    """Page 2 of 3."""
    things = [Thing(name=f"{number}") for number in range(params.size)]
    return Page(items=things, page=2, size=2, total=6, pages=3, links=page_links(request, params, 6))


@router.get("/feed")
async def feed(request: Request, cursor: CursorQuery) -> CursorPage[Thing]:
    """There is more."""
    links = cursor_links(request, "more")
    return CursorPage(items=[Thing(name="bolt")], size=cursor.size, cursor="more", links=links)


@router.delete("/one", status_code=status.HTTP_204_NO_CONTENT)
async def delete() -> None:
    """No body."""


@router.get("/text")
async def text() -> PlainTextResponse:
    """A response."""
    return PlainTextResponse("as it is")


@router.get("/stream")
async def stream() -> StreamingResponse:
    """Three parts."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"part"

    return StreamingResponse(parts())


@router.get("/raw", response_model=None)
async def raw() -> dict[str, int]:
    """Says that it wants none."""
    return {"raw": 1}


@router.get("/taken")
async def taken() -> Thing:
    """Never answers."""
    raise Conflict("a caller has it")


@router.get("/broken")
async def broken() -> Thing:
    """Fails."""
    raise RuntimeError("oh")
