"""The circuit breaker: a service that fails repeatedly is not called for a while, then one call at a time tries it."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Lock, get_ident
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from app.core.data.redis_client import BackendUnavailable, RedisClient
from app.core.telemetry import emit
from app.extensions.outbound.scripts import ADMIT, SETTLE
from app.extensions.outbound.settings import BreakerChanged, CircuitOpen, OutboundSettings, Policy

T = TypeVar("T")
KEPT = 24 * 3600 * 1000
"""Milliseconds until the storage forgets a service that is not called."""


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

    def follow(self, state: str) -> int:
        """Take over the state of all processes, and count from zero. Return the era, as `admit` does."""
        with self._lock:
            if state != self.state:
                self._turn(state)
            self._in_a_row = 0
            self._probing = False
            return self.era

    def _turn(self, state: str) -> None:
        self.state = state
        self.era += 1
        self._in_a_row = 0
        self._probing = False
        if state == "open":
            self._opened_at = self._clock()
        emit(BreakerChanged(self.service, state))


class Storage:
    """The Redis server in which all processes share breakers."""

    def __init__(self, settings: OutboundSettings, namespace: str) -> None:
        self.namespace = namespace
        self.timeout = settings.storage_timeout
        self.loop = asyncio.get_running_loop()
        """The loop that the connections belong to."""
        self.thread = get_ident()
        self.client = RedisClient(
            settings.storage_url or "",
            timeout=self.timeout,
            connections=20,
            server="the storage of the circuit breakers",
            meanwhile="each process has its own",
        )


class Admission(NamedTuple):
    """A call that may pass, with the eras that it belongs to: in this process, and in all of them."""

    own: int
    shared: int | None = None


class SharedBreaker:
    """The breaker of all processes, if they share a storage. While that is away, the local breaker takes its place."""

    def __init__(self, own: Breaker, policy: Policy, storage: Storage | None) -> None:
        self.own = own
        self._storage = storage
        self._policy = policy
        self._seen = 0
        self._freeing: set[asyncio.Task[None]] = set()
        if storage:
            self._admit, self._settle = storage.client.script(ADMIT), storage.client.script(SETTLE)
            self._key = f"{storage.namespace}:breaker:{own.service}"
            self._recovery = round(policy.recovery * 1000)
            self._lease = round((policy.timeout + 1) * 1000)  # a longer probe has died with its process
            self._kept = self._recovery + KEPT

    async def admit(self) -> Admission:
        """Let a call pass, or raise `CircuitOpen`."""
        if self._storage is None:
            return Admission(self.own.admit())
        try:
            state, era, passes, wait = await self._admit([self._key], [self._kept, self._lease])
        except BackendUnavailable:
            return Admission(self.own.admit())
        own = self._follow(state, era)
        if not passes:
            raise CircuitOpen(self.own.service, "CircuitOpen", retry_after=wait / 1000)
        return Admission(own, era)

    async def settle(self, admission: Admission, succeeded: bool | None) -> None:
        """Report how a call ended; None if it says nothing about the service, such as a cancelled call."""
        if admission.shared is None:
            self.own.settle(admission.own, succeeded)
        elif succeeded is not None:
            await self._tell(admission, succeeded)
        elif self.own.state == "half_open":  # a cancelled probe does not wait until its place is free
            task = asyncio.create_task(self._tell(admission, succeeded))
            self._freeing.add(task)
            task.add_done_callback(self._freeing.discard)

    async def look(self) -> str:
        """Return the state, which other processes may have changed."""
        if self._storage is not None:
            await self._tell(Admission(own=-1, shared=0), None)  # an era without calls: nothing changes
        return self.own.state

    def admit_from_thread(self) -> Admission:
        """`admit` without `await`."""
        with suppress(BackendUnavailable):
            return self._in_loop(self.admit)
        return Admission(self.own.admit())

    def settle_from_thread(self, admission: Admission, succeeded: bool | None) -> None:
        """`settle` without `await`."""
        try:
            self._in_loop(lambda: self.settle(admission, succeeded))
        except BackendUnavailable:
            self.own.settle(admission.own, succeeded)

    def _in_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run it in the loop of the storage's connections, and wait for it."""
        storage = self._storage
        if storage is None or storage.loop.is_closed() or storage.thread == get_ident():
            raise BackendUnavailable  # a loop that waits for itself waits for ever
        future = asyncio.run_coroutine_threadsafe(work(), storage.loop)
        try:
            return future.result(2 * storage.timeout)
        except TimeoutError:
            future.cancel()
            raise BackendUnavailable from None

    async def _tell(self, admission: Admission, succeeded: bool | None) -> None:
        policy, ended = self._policy, "" if succeeded is None else int(succeeded)
        told = [self._kept, admission.shared or 0, ended, policy.failures, policy.successes, self._recovery]
        try:
            state, era = await self._settle([self._key], [*told])
        except BackendUnavailable:
            self.own.settle(admission.own, succeeded)
        else:
            self._follow(state, era)

    def _follow(self, state: bytes, era: int) -> int:
        """Set the local breaker to the shared state, unless a newer one has arrived."""
        if era < self._seen:
            return self.own.era
        self._seen = era
        return self.own.follow(state.decode())
