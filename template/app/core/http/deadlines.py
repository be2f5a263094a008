"""Requests that take too long are given up: one clock looks after all of them (a timer for each costs 5 µs)."""

import asyncio
from time import perf_counter


class Deadline:
    """How long one request may still take."""

    __slots__ = ("due", "expired", "task")

    def __init__(self, task: "asyncio.Task[object] | None", seconds: float) -> None:
        self.task = task
        self.due = perf_counter() + seconds
        self.expired = False


class Clock:
    """Looks once a second, and only while there are requests, whose time is up; it cancels those."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._tick = min(1.0, seconds / 10)
        self._running: set[Deadline] = set()
        self._armed = False

    def start(self) -> Deadline:
        """Watch the running task from now on."""
        deadline = Deadline(asyncio.current_task(), self.seconds)
        self._running.add(deadline)
        if not self._armed:
            self._arm()
        return deadline

    def extend(self, deadline: Deadline) -> None:
        """Give a request its full time once more."""
        deadline.due = perf_counter() + self.seconds

    def stop(self, deadline: Deadline) -> None:
        """The request is done."""
        self._running.discard(deadline)

    def _arm(self) -> None:
        self._armed = True
        asyncio.get_running_loop().call_later(self._tick, self._look)

    def _look(self) -> None:
        self._armed = False
        now = perf_counter()
        for deadline in self._running:
            if now >= deadline.due and deadline.task is not None:
                deadline.expired = True
                deadline.due = now + self.seconds  # a commit is not cut short: what comes after it is given up too
                deadline.task.cancel()
        if self._running:
            self._arm()
