"""Connections: how many there are, who gets the next one, how long that may take, and that none is stale."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, ClassVar, Literal, Self

from pydantic import Field
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.errors import ServiceUnavailable
from app.core.settings import Group


class DatabaseBusy(ServiceUnavailable):
    """All database connections are in use."""

    message = "the database is busy, try again"


class PoolSettings(Group):
    """What every database has. What only one of them has stands in `engine.py`."""

    group: ClassVar[str] = "database"
    pool_size: int = Field(20, ge=1, description="Connections that stay open.")
    pool_overflow: int = Field(10, ge=0, description="Connections that may be opened beyond that.")
    pool_timeout: float = Field(1.0, gt=0, description="Seconds that a request waits for a connection.")
    pool_recycle: float = Field(3600.0, gt=0, description="Seconds after which a connection is replaced.")
    slow_query: float = Field(0.2, gt=0, description="Seconds after which a statement is logged as slow.")


class Gate:
    """Lets as many in as there are places, first come first served: without it p99 is 4 to 20 times as long."""

    def __init__(self, places: int, seconds: float) -> None:
        self.places = places
        self.seconds = seconds
        self.taken = 0
        self.waiting = 0
        self._free = asyncio.Semaphore(places)

    async def __aenter__(self) -> Self:
        """Wait for a place.

        Raises:
            DatabaseBusy: none became free in time.
        """
        if self._free.locked():
            self.waiting += 1
            try:
                async with asyncio.timeout(self.seconds):
                    await self._free.acquire()
            except TimeoutError as error:
                raise DatabaseBusy from error
            finally:
                self.waiting -= 1
        else:
            await self._free.acquire()
        self.taken += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the place to the one who waits longest."""
        self.taken -= 1
        self._free.release()


def keep_fresh(
    engine: AsyncEngine, *, is_closed: Callable[[Any], bool], ping: Callable[[Any], None], idle: float
) -> None:
    """Never hand out a stale connection: a free test for closed ones, a ping for those that have been idle for long.

    A ping at each check-out would be safe as well, and cost every read a round trip.
    """

    @event.listens_for(engine.sync_engine, "checkin")
    def returned(_: Any, record: Any) -> None:
        record.info["idle_since"] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def taken(connection: Any, record: Any, _: Any) -> None:
        if is_closed(connection):
            raise DisconnectionError("closed while it was idle")
        if time.monotonic() - record.info.get("idle_since", time.monotonic()) > idle:
            try:
                ping(connection)
            except Exception as error:
                raise DisconnectionError("did not answer after it had been idle") from error


@dataclass(frozen=True)
class DatabaseFault:
    """A refusal of the database. `unavailable` may work when it is tried again; the others never will."""

    kind: Literal["unique", "foreign_key", "not_null", "check", "value", "unavailable"]
    constraint: str | None = None
    columns: tuple[str, ...] = ()
