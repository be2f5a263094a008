"""The topics of FastAPI's tutorial, one after the other, as a newcomer to the service types them."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    FastAPI,
    File,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, Field
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint

from app.core.component import Component, State

router = APIRouter(prefix="/tutorial", tags=["tutorial"])
done: list[str] = []


# Paths, queries and bodies
class Size(StrEnum):
    """The sizes."""

    small = "small"
    large = "large"


class Image(BaseModel):
    """A picture of an item."""

    url: str
    name: str = ""


class Item(BaseModel):
    """An item with pictures."""

    name: str = Field(examples=["lamp"])
    price: float = Field(gt=0)
    images: list[Image] = []
    note: str | None = None


class Filter(BaseModel):
    """A query as a model."""

    limit: int = Field(10, le=100)
    tags: list[str] = []


@router.get("/sizes/{size}")
def read_size(size: Size, q: Annotated[str | None, Query(max_length=5)] = None) -> dict[str, str | None]:
    """Answer from a plain function, which runs in a thread."""
    time.sleep(0.01)
    return {"size": size.value, "q": q}


@router.get("/files/{path:path}")
async def read_path(path: str) -> str:
    """Take the rest of a path."""
    return path


@router.get("/filtered")
async def read_filtered(wanted: Annotated[Filter, Query()]) -> Filter:
    """Take a query as a model."""
    return wanted


@router.post("/items", status_code=201, response_model_exclude_unset=True)
async def create_item(item: Item, importance: Annotated[int, Body()] = 1) -> Item:
    """Take two parts of a body."""
    return item.model_copy(update={"note": str(importance)})


@router.put("/items/{name}", response_model=Item)
async def upsert_item(name: str, item: Annotated[Item, Body(embed=True)]) -> Any:
    """Answer with another status than the declared one."""
    return item if name == "known" else JSONResponse(item.model_dump(), status_code=201)


@router.delete("/items/{name}", status_code=204)
async def delete_item(name: str) -> None:
    """Answer without a body."""


# Headers and cookies
@router.get("/cookie")
async def read_cookie(
    response: Response,
    session: Annotated[str | None, Cookie()] = None,
    user_agent: Annotated[str | None, Header()] = None,
    x_token: Annotated[list[str] | None, Header()] = None,
) -> dict[str, Any]:
    """Read a cookie and headers, and set one of each."""
    response.set_cookie("session", "fresh", httponly=True)
    response.headers["X-Answer"] = "yes"
    return {"session": session, "agent": user_agent, "tokens": x_token}


# Forms and files
@router.post("/form")
async def read_form(name: Annotated[str, Form()], age: Annotated[int, Form()] = 0) -> dict[str, Any]:
    """Take a form."""
    return {"name": name, "age": age}


@router.post("/upload")
async def read_upload(
    small: Annotated[bytes, File()], files: list[UploadFile], token: Annotated[str, Form()]
) -> dict[str, Any]:
    """Take files beside a field."""
    sizes = {file.filename: len(await file.read()) for file in files}
    return {"small": len(small), "sizes": sizes, "token": token}


# Errors
class Teapot(HTTPException):
    """An own kind of HTTPException."""


@router.get("/errors/{kind}")
async def fail(kind: str) -> None:
    """Raise."""
    if kind == "structure":
        raise HTTPException(409, {"reason": "taken", "by": ["ada"]})
    if kind == "own":
        raise Teapot(418, "short and stout", {"X-Error": "tea"})
    raise HTTPException(int(kind))


# Background tasks
def note(word: str) -> None:
    """Do something slowly."""
    time.sleep(0.2)
    done.append(word)


@router.post("/notify", status_code=202)
async def notify(tasks: BackgroundTasks) -> str:
    """Answer before the work is done."""
    tasks.add_task(note, "notified")
    return "soon"


@router.get("/done")
async def read_done() -> list[str]:
    """Tell what was done."""
    return done


# Responses
@router.get("/html", response_class=HTMLResponse)
async def html() -> str:
    """Answer with a page."""
    return "<h1>hello</h1>"


@router.get("/text", response_class=PlainTextResponse)
def text() -> str:
    """Answer with a text."""
    return "hello"


@router.get("/elsewhere")
async def elsewhere() -> RedirectResponse:
    """Redirect."""
    return RedirectResponse("/tutorial/text")


@router.get("/xml")
def xml() -> Response:
    """Answer with any content."""
    return Response("<a/>", media_type="application/xml")


@router.get("/download")
async def download() -> FileResponse:
    """Answer with a file."""
    return FileResponse(Path(__file__), filename="tutorial.py")


@router.get("/request")
async def read_request(request: Request) -> dict[str, Any]:
    """Use the request itself."""
    return {"host": request.client.host if request.client else "", "url": str(request.url_for("text"))}


# Middleware
class Timing(BaseHTTPMiddleware):
    """Add the time that a request takes."""

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """Serve one request."""
        started = time.perf_counter()
        response = await call_next(request)
        response.headers["X-Process-Time"] = str(time.perf_counter() - started)
        return response


# Sub-applications
@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
    """Open something for the sub-application."""
    done.append("sub opened")
    yield {"opened": "by the sub-application"}
    done.append("sub closed")


sub = FastAPI(lifespan=lifespan)


@sub.get("/hello")
async def hello(request: Request) -> dict[str, Any]:
    """Answer in the sub-application."""
    return {"root": request.scope["root_path"], "opened": getattr(request.state, "opened", None)}


@sub.get("/fail")
async def fail_inside() -> None:
    """Fail in the sub-application."""
    raise HTTPException(404, {"reason": "inside"})


router.mount("/tutorial/sub", sub)
router.mount("/tutorial/static", StaticFiles(directory=Path(__file__).parent))


@asynccontextmanager
async def opened(_: State) -> AsyncIterator[State]:
    """Open the sub-application with the service."""
    async with sub.router.lifespan_context(sub) as state:
        yield dict(state or {})


def component() -> Component:
    """Return the feature."""
    return Component(name="tutorial", routers=[router], middleware=[Middleware(Timing)], lifespan=opened)
