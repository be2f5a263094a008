"""The sink, and a slice that fails unexpectedly."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import pytest
import sentry_sdk
from fastapi import APIRouter, Header
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import text

from app.core import context
from app.core.component import Component
from app.core.database import DatabaseDep
from app.core.errors import NotFound, ServiceUnavailable
from app.core.telemetry import describe, emit
from tests.extensions.sentry.sink import Sink, sinking

HIDDEN = "correct-horse-battery-staple"
"""A secret that is sent to the service and may not leave it."""


class Baked(NamedTuple):
    """A part of a request, in the words of another extension."""

    cake: str
    duration: float


describe(Baked, span=("oven.bake", "a {0.cake} cake"))


class Secrets(BaseModel):
    """A body."""

    word: str


@pytest.fixture
def sink() -> Iterator[Sink]:
    """The server that receives events."""
    with sinking() as made:
        yield made


@pytest.fixture
def failing() -> Component:
    """The slice."""
    router = APIRouter(prefix="/failing")

    @router.get("/{number}")
    async def fail(number: int) -> None:
        request = context.current()
        assert request is not None
        request.principal = "ada"
        raise RuntimeError(f"number {number}")

    @router.post("/body")
    async def fail_with_body(body: Secrets, authorization: Annotated[str, Header()]) -> None:
        held = (body.word, authorization)
        try:
            TypeAdapter(list[int]).validate_python(held)
        except ValueError as error:
            raise RuntimeError(f"the link was https://ada:{body.word}@example.com/?token={body.word}") from error

    @router.get("/expected/{kind}")
    async def expected(kind: str) -> None:
        raise NotFound if kind == "missing" else ServiceUnavailable

    @router.get("/told/{word}")
    async def told(word: str) -> None:
        sentry_sdk.set_tag("password", word)
        sentry_sdk.capture_message("the shop runs dry")

    @router.get("/querying/now")
    async def query(database: DatabaseDep) -> dict[str, Any]:
        async with database.read() as connection:
            return {"found": await connection.scalar(text("SELECT 1"))}

    @router.get("/waiting/now")
    async def wait() -> None:
        emit(Baked("plum", 0.1))
        emit(Baked("carrot", 0.2))

    return Component(name="failing", routers=[router])
