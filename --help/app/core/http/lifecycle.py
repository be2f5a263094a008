"""Starting and stopping: on SIGTERM the service drains, and then stops listening."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, ClassVar

from pydantic import Field

from app.core.component import Component, State
from app.core.settings import Group

logger = logging.getLogger(__name__)


class LifecycleSettings(Group):
    """The settings of a stop."""

    group: ClassVar[str] = "lifecycle"
    drain: float | None = Field(
        None, ge=0, description="Seconds between SIGTERM and closing the listener; unset: 1 in production, else 0."
    )


class Lifecycle:
    """The state of the service between its start and its end."""

    def __init__(self, drain: float) -> None:
        self.drain = drain
        self.ready = False
        self.draining = False

    @asynccontextmanager
    async def lifespan(self, _: State) -> AsyncIterator[State]:
        """Be ready once everything is open; on SIGTERM drain, and then let the server shut down."""
        previous = signal.getsignal(signal.SIGTERM)
        watched = threading.current_thread() is threading.main_thread() and callable(previous) and self.drain > 0
        if watched:
            loop = asyncio.get_running_loop()
            signal.signal(signal.SIGTERM, lambda number, frame: self._stop(loop, previous, number, frame))
        self.ready = True
        try:
            yield {"lifecycle": self}
        finally:
            self.draining = True
            if watched:
                signal.signal(signal.SIGTERM, previous)

    def _stop(self, loop: asyncio.AbstractEventLoop, previous: Any, number: int, frame: FrameType | None) -> None:
        """Start the drain at the first signal; stop at once at a second one."""
        if self.draining:
            previous(number, frame)
            return
        self.draining = True
        loop.call_soon_threadsafe(self._drain, loop, lambda: previous(number, frame))

    def _drain(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        logger.info("draining for %s seconds before the listener closes", self.drain)
        loop.call_later(self.drain, stop)


def component(lifecycle: Lifecycle) -> Component:
    """Return the component that opens last, so that the service is not ready before everything is open."""
    return Component(name="lifecycle", lifespan=lifecycle.lifespan)
