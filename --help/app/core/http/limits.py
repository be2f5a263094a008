"""The time limit of a request."""

import asyncio
from time import perf_counter


class Deadline:
    """The time until which one request may run."""

    __slots__ = ("due", "expired", "task")

    def __init__(self, task: "asyncio.Task[object] | None", due: float) -> None:
        self.task = task
        self.due = due
        self.expired = False


class DeadlineTimer:
    """Cancels requests that take too long. One timer for all: one for each takes 7 % of a small request."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._interval = min(1.0, seconds / 10)
        self._running: set[Deadline] = set()
        self._armed = False

    def start(self) -> Deadline:
        """Watch the running task."""
        deadline = Deadline(asyncio.current_task(), perf_counter() + self.seconds)
        self._running.add(deadline)
        if not self._armed:
            self._arm()
        return deadline

    def extend(self, deadline: Deadline) -> None:
        deadline.due = perf_counter() + self.seconds

    def stop(self, deadline: Deadline) -> None:
        self._running.discard(deadline)

    def _arm(self) -> None:
        self._armed = True
        asyncio.get_running_loop().call_later(self._interval, self._check)

    def _check(self) -> None:
        self._armed = False
        now = perf_counter()
        for deadline in self._running:
            if now >= deadline.due and deadline.task is not None:
                deadline.expired = True
                deadline.due = now + self.seconds  # a commit is finished all the same: cancel again what follows it
                deadline.task.cancel()
        if self._running:
            self._arm()
