"""A server that the service can do without: while it does not answer it is left alone, and looked for once a second."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextvars import Context
from time import monotonic
from typing import TypeVar

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

PAUSE = 1.0
"""Seconds between two looks whether the server is back."""


class Away(Exception):
    """The server does not answer, or not with what was asked for."""


class Seldom:
    """Says yes once a minute: for warnings of what may happen a thousand times a second."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self) -> bool:
        """Whether the minute is over."""
        if monotonic() - self._last < 60:
            return False
        self._last = monotonic()
        return True


class Outage:
    """Guards the calls to a server. After a failure they are refused at once, and a task looks when it is back.

    So an outage costs those requests the timeout that are under way when it begins, and all others nothing.
    """

    def __init__(
        self,
        server: str,
        meanwhile: str,
        *,
        failures: tuple[type[Exception], ...],
        look: Callable[[], Awaitable[object]],
    ) -> None:
        """`server` and `meanwhile` are words for the log; `look` raises one of `failures` until the server is back."""
        self._server = server
        self._meanwhile = meanwhile
        self._failures = failures
        self._look = look
        self._looking: asyncio.Task[None] | None = None
        self._due = Seldom()

    async def guard(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """The call's result.

        Raises:
            Away: it failed, or the server is being looked for. What `look` itself calls passes.
        """
        if self._looking is not None and asyncio.current_task() is not self._looking:
            raise Away
        try:
            return await call()
        except self._failures as error:
            if self._looking is None:
                self._warn(error)
                # Not in the context of the request that noticed, which it outlives.
                self._looking = asyncio.create_task(self._wait(), context=Context())
            raise Away from error

    def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()

    def _warn(self, error: BaseException | None) -> None:
        if self._due():
            logger.warning("%s does not answer: %s (%s)", self._server, self._meanwhile, error)

    async def _wait(self) -> None:
        while True:
            await asyncio.sleep(PAUSE * random.uniform(0.75, 1.25))  # noqa: S311  # so that not all ask at once
            try:
                await self._look()
            except Away as error:
                self._warn(error.__cause__)
            except self._failures as error:
                self._warn(error)
            else:
                self._looking = None
                logger.info("%s answers again", self._server)
                return
