"""Single flight: concurrent callers in a process share one call, made by the first of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
Versions = Sequence[bytes | int | None]


class Abandoned(Exception):
    """The caller that did the work was cancelled."""


class Flight(Generic[T]):
    """One running call."""

    def __init__(self) -> None:
        self.result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.versions: Versions | None = None
        """The versions of the result, once they are known. Until then the result is newer than any request."""


class SingleFlight(Generic[T]):
    """The running calls, by name."""

    def __init__(self) -> None:
        self._latest: dict[str, Flight[T]] = {}

    async def join(self, name: str, versions: Versions, work: Callable[[Flight[T]], Awaitable[T]]) -> tuple[T, bool]:
        """Return the result of `work`, and true if another caller did it. An error is raised to all callers.

        The work runs in the task of the first caller, since it may use that caller's connection. If that caller is
        cancelled, the next one does the work. A caller that has seen other versions does not join.
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
            flight.result.exception()  # marked as retrieved, even if no other caller waits
            raise
        else:
            flight.result.set_result(result)
            return result, False
        finally:
            if self._latest.get(name) is flight:
                del self._latest[name]
