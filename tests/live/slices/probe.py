"""A slice such as an owner writes, which does on request what goes wrong in services: it waits, fails and warns."""

import asyncio
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import BackgroundTasks, HTTPException, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from sqlalchemy import text

from app.core import context
from app.core.component import Component, State
from app.core.database import DatabaseDep
from app.core.versioning import versioned

logger = logging.getLogger(__name__)
router = versioned("probe")


@router.get("/slow")
async def slow(seconds: float) -> float:
    """Take some time."""
    await asyncio.sleep(seconds)
    return seconds


@router.get("/query")
async def query(statement: str, database: DatabaseDep) -> None:
    """Run a statement."""
    async with database.transaction() as session:
        await session.execute(text(statement))


@router.get("/fail")
async def fail() -> None:
    """Fail unexpectedly, with a secret within reach."""
    password = "hunter2-hunter2"  # noqa: S105
    raise RuntimeError(f"no connection to postgresql://admin:{password}@db/service?token=abcdef123456")


@router.get("/noise")
async def noise(request: Request) -> None:
    """Warn, log as a library does, and fail in a thread and in a task that no one waits for."""
    warnings.warn("this is dubious", UserWarning, stacklevel=1)
    logging.getLogger("some.library").warning("two\nlines for %s", request.url.path)
    logger.info("with fields", extra={"order": 7, "api_key": "abcdef123456"})
    threading.Thread(target=lambda: 1 / 0).start()
    request.app.state.task = asyncio.get_running_loop().create_task(_broken())


async def _broken() -> None:
    raise ValueError("no one waits for this")


@router.get("/forget")
async def forget(request: Request) -> None:
    """Let go of the failed task, so that asyncio complains."""
    del request.app.state.task


@router.get("/text")
async def some_text(size: int) -> PlainTextResponse:
    """A text of a size."""
    return PlainTextResponse("abcdefgh" * (size // 8))


@router.get("/stream")
async def stream(megabytes: int) -> StreamingResponse:
    """A stream of a size."""

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(megabytes * 16):
            yield b"x" * 65536
            await asyncio.sleep(0)

    return StreamingResponse(parts(), media_type="text/plain")


@router.get("/background")
async def background(seconds: float, tasks: BackgroundTasks, fail: bool = False) -> str:
    """Answer, and work on."""

    async def work() -> None:
        await asyncio.sleep(seconds)
        if fail:
            raise RuntimeError("the work failed")
        logger.info("the work is done")

    tasks.add_task(work)
    return "accepted"


@router.get("/events")
async def events(seconds: float) -> StreamingResponse:
    """A stream whose first event is late, and which works on after the last one."""

    async def parts() -> AsyncIterator[bytes]:
        await asyncio.sleep(seconds)
        yield b"data: 1\n\n"

    tasks = BackgroundTasks()
    tasks.add_task(asyncio.sleep, seconds)
    return StreamingResponse(parts(), media_type="text/event-stream", background=tasks)


@router.get("/endless")
async def endless(seconds: float, tasks: BackgroundTasks) -> StreamingResponse:
    """A stream that the client has to leave, and work after it."""

    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.05)

    async def work() -> None:
        await asyncio.sleep(seconds)
        logger.info("the work is done")

    tasks.add_task(work)
    return StreamingResponse(parts(), media_type="text/event-stream", background=tasks)


@router.get("/shrunk")
async def shrunk() -> Response:
    """An answer that is shorter than its head says."""
    answer = PlainTextResponse("x" * 3000)
    answer.headers["Content-Length"] = "4000"
    return answer


@router.head("/file")
@router.get("/file")
async def file() -> FileResponse:
    """This file."""
    return FileResponse(__file__, media_type="text/plain")


@router.get("/raised")
async def raised(status: int) -> None:
    """An answer as an exception, with a header."""
    raise HTTPException(status, headers={"ETag": '"7"'})


@router.get("/returned")
async def returned(status: int, size: int) -> Response:
    """A body under any status, those included that must have none."""
    return Response("x" * size, status_code=status, media_type="text/plain")


@router.post("/body")
async def body(request: Request) -> int:
    """Read the body, and say how long it was."""
    return len(await request.body())


@router.get("/outgoing")
async def outgoing() -> dict[str, str]:
    """The headers that a call to another service gets."""
    return context.outgoing_headers()


@router.get("/caller")
async def caller(request: Request) -> str:
    """Return the address of the caller."""
    return request.client.host if request.client else ""


def resource(name: str) -> Callable[[State], AbstractAsyncContextManager[State]]:
    """Something that is opened at the start and closed at the end."""

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        logger.info("opened %s", name)
        try:
            yield {name: name}
        finally:
            logger.info("closed %s", name)

    return lifespan


def components() -> list[Component]:
    """Two, to see in which order they open and close."""
    return [
        Component(name="first", lifespan=resource("first")),
        Component(name="second", lifespan=resource("second"), routers=[router]),
    ]
