"""The circuit breaker: a service that fails repeatedly is not called for a while, then one call at a time tries it."""

from collections.abc import Callable
from threading import Lock
from time import monotonic

from app.core.telemetry import emit
from app.extensions.outbound.settings import BreakerChanged, CircuitOpen, Policy


class Breaker:
    """Closed: calls pass. Open: no call passes for `recovery` seconds. Half open: one call at a time.

    Every method holds a lock, so that threads may use it as well as tasks.
    """

    def __init__(self, service: str, policy: Policy, clock: Callable[[], float] = monotonic) -> None:
        self.service = service
        self.state = "closed"
        self._policy = policy
        self._clock = clock
        self._lock = Lock()
        self._in_a_row = 0
        self._opened_at = 0.0
        self._probing = False
        self.era = 0

    def admit(self) -> int:
        """Let a call pass or raise `CircuitOpen`. Return the era that the call belongs to, for `settle`."""
        with self._lock:
            if self.state == "closed":
                return self.era
            waited = self._clock() - self._opened_at
            if self.state == "open" and waited >= self._policy.recovery:
                self._turn("half_open")
            if self.state == "open" or self._probing:
                raise CircuitOpen(self.service, "CircuitOpen", retry_after=max(0.0, self._policy.recovery - waited))
            self._probing = True
            return self.era

    def settle(self, era: int, succeeded: bool | None) -> None:
        """Report how a call ended; None if it says nothing about the service, such as a cancelled call."""
        with self._lock:
            if era != self.era:
                return  # the call began before the last change
            probe, self._probing = self._probing, False
            if succeeded is None:
                return
            if self.state == "closed":
                self._in_a_row = 0 if succeeded else self._in_a_row + 1
                if self._in_a_row >= self._policy.failures:
                    self._turn("open")
            elif not succeeded:
                self._turn("open")
            elif probe:
                self._in_a_row += 1
                if self._in_a_row >= self._policy.successes:
                    self._turn("closed")

    def _turn(self, state: str) -> None:
        self.state = state
        self.era += 1
        self._in_a_row = 0
        self._probing = False
        if state == "open":
            self._opened_at = self._clock()
        emit(BreakerChanged(self.service, state))
