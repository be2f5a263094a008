"""Flights: what many ask for at once is done once in this process, by the first of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
Versions = Sequence[bytes | int | None]


class Abandoned(Exception):
    """Whoever did it was cancelled before it was done."""


class Flight(Generic[T]):
    """Something that is under way."""

    def __init__(self) -> None:
        self.result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.versions: Versions | None = None
        """What the result is based on, as soon as that is settled. Until then it will be no older than any request."""


class Flights(Generic[T]):
    """What is under way, by name."""

    def __init__(self) -> None:
        self._latest: dict[str, Flight[T]] = {}

    async def join(self, name: str, versions: Versions, work: Callable[[Flight[T]], Awaitable[T]]) -> tuple[T, bool]:
        """The result of `work`, and whether it was another caller's. Its error is everybody's too.

        The work runs in the first caller's task, since it may use what is that caller's own, such as a connection. If
        that caller is cancelled, the next one does it. Who has seen other versions than it is based on does not join.
        """
        while (flight := self._latest.get(name)) and flight.versions in (None, versions):
            try:
                return await asyncio.shield(flight.result), True
            except Abandoned:
                continue
        flight = self._latest[name] = Flight()
        try:
            result = await work(flight)
        except BaseException as error:
            flight.result.set_exception(error if isinstance(error, Exception) else Abandoned())
            flight.result.exception()  # seen, even if nobody else waits for it
            raise
        else:
            flight.result.set_result(result)
            return result, False
        finally:
            if self._latest.get(name) is flight:
                del self._latest[name]
