"""The time limits of a request, and of what goes on after its response."""

import asyncio
from dataclasses import dataclass
from time import perf_counter


@dataclass(slots=True, eq=False)
class Deadline:
    """The time until which one request may run."""

    task: "asyncio.Task[object] | None"
    due: float
    expired: bool = False


class DeadlineTimer:
    """Cancels requests that take too long. One timer for all: one for each takes 7 % of a small request."""

    def __init__(self, seconds: float, *later: float) -> None:
        self.seconds = seconds
        self._interval = min(1.0, *(limit / 10 for limit in (seconds, *later)))
        self._running: set[Deadline] = set()
        self._armed = False

    def start(self) -> Deadline:
        """Watch the running task."""
        deadline = Deadline(asyncio.current_task(), perf_counter() + self.seconds)
        self._running.add(deadline)
        if not self._armed:
            self._arm()
        return deadline

    def extend(self, deadline: Deadline, seconds: float) -> None:
        deadline.due = perf_counter() + seconds

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
