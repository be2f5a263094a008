"""Faults that a service may have in how it commits: the checker has to find each."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core import context, telemetry
from app.core.database import Database
from app.core.errors import ServiceError, ServiceUnavailable
from app.features import entries

honest = Database.transaction
later: set[asyncio.Task[Any]] = set()


@asynccontextmanager
async def answers_before_the_commit(self: Database, **more: Any) -> AsyncIterator[AsyncSession]:
    """Leave the commit to a task."""
    transaction = honest(self, **more)
    session = await transaction.__aenter__()
    try:
        yield session
    except BaseException as error:
        await transaction.__aexit__(type(error), error, None)
        raise
    later.add(asyncio.create_task(transaction.__aexit__(None, None, None)))


@asynccontextmanager
async def swallows_the_error_of_the_commit(self: Database, **more: Any) -> AsyncIterator[AsyncSession]:
    """Take every commit for a success."""
    body_done = False
    try:
        async with honest(self, **more) as session:
            yield session
            body_done = True
    except (ServiceError, SQLAlchemyError):
        if not body_done:
            raise


@asynccontextmanager
async def says_unavailable_for_unknown(self: Database, **more: Any) -> AsyncIterator[AsyncSession]:
    """Promise that nothing is stored, whatever has become of the commit."""
    try:
        async with honest(self, **more) as session:
            yield session
    except ServiceError as error:
        request = context.current()
        if error.status != 504 or request is None:
            raise
        request.stored = False  # else the core answers 504 in place of the 503
        raise ServiceUnavailable from error


def tells_before_the_commit(_: AsyncSession, happened: telemetry.BusinessEvent) -> None:
    """Tell at once."""
    telemetry.emit(happened)


def twice(write: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Try once more what failed."""

    async def written(*arguments: Any) -> Any:
        try:
            return await write(*arguments)
        except (ServiceError, SQLAlchemyError) as error:
            if isinstance(error, ServiceError) and error.status < 500:
                raise
            return await write(*arguments)

    return written


def become(mutant: str) -> None:
    """Have the service lie so."""
    if mutant == "retries_a_write":
        entries.add = twice(entries.add)
    elif mutant == "tells_before_the_commit":
        entries.emit_once_committed = tells_before_the_commit
    else:
        Database.transaction = globals()[mutant]  # type: ignore[method-assign]
