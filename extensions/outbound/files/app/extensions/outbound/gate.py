"""The gate before one service: the circuit breaker of all processes where they share a storage, else the own one."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import get_ident
from typing import Any, NamedTuple, TypeVar

from app.core.data.outage import Away
from app.extensions.outbound.breaker import Breaker
from app.extensions.outbound.errors import CircuitOpen
from app.extensions.outbound.scripts import ADMIT, SETTLE
from app.extensions.outbound.settings import Policy
from app.extensions.outbound.storage import Storage

T = TypeVar("T")
KEPT = 24 * 3600 * 1000
"""Milliseconds until the storage forgets a service that nobody calls."""


class Admission(NamedTuple):
    """A call that may pass, and the eras that it belongs to: this process's, and that of all of them."""

    own: int
    shared: int | None = None


class Gate:
    """Lets calls pass. The own breaker follows that of all processes, and takes its place while the storage is away."""

    def __init__(self, own: Breaker, policy: Policy, storage: Storage | None) -> None:
        self.own = own
        self._storage = storage
        self._policy = policy
        self._seen = 0
        self._freeing: set[asyncio.Task[None]] = set()
        if storage:
            self._admit, self._settle = storage.script(ADMIT), storage.script(SETTLE)
            self._key = f"{storage.namespace}:breaker:{own.service}"
            self._recovery = round(policy.recovery * 1000)
            self._lease = round((policy.timeout + 1) * 1000)  # a probe that takes longer has died with its process
            self._kept = self._recovery + KEPT

    async def admit(self) -> Admission:
        """Let a call pass.

        Raises:
            CircuitOpen: none may pass now.
        """
        if self._storage is None:
            return Admission(self.own.admit())
        try:
            state, era, passes, wait = await self._admit(self._key, [self._kept, self._lease])
        except Away:
            return Admission(self.own.admit())
        own = self._follow(state, era)
        if not passes:
            raise CircuitOpen(self.own.service, "CircuitOpen", retry_after=wait / 1000)
        return Admission(own, era)

    async def settle(self, admission: Admission, succeeded: bool | None) -> None:
        """Say how a call ended; None where it says nothing of the service, such as a cancelled one."""
        if admission.shared is None:
            self.own.settle(admission.own, succeeded)
        elif succeeded is not None:
            await self._tell(admission, succeeded)
        elif self.own.state == "half_open":  # who gives a probe up does not wait until its place is free
            task = asyncio.create_task(self._tell(admission, succeeded))
            self._freeing.add(task)
            task.add_done_callback(self._freeing.discard)

    async def look(self) -> str:
        """The state: what other processes have made of it is else only seen by the next call."""
        if self._storage is not None:
            await self._tell(Admission(own=-1, shared=0), None)  # a call of no era, so that nothing changes
        return self.own.state

    def admit_from_thread(self) -> Admission:
        """`admit` without `await`."""
        with suppress(Away):
            return self._in_loop(self.admit)
        return Admission(self.own.admit())

    def settle_from_thread(self, admission: Admission, succeeded: bool | None) -> None:
        """`settle` without `await`."""
        try:
            self._in_loop(lambda: self.settle(admission, succeeded))
        except Away:
            self.own.settle(admission.own, succeeded)

    def _in_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run it where the storage's connections are, and wait for it."""
        storage = self._storage
        if storage is None or storage.loop.is_closed() or storage.thread == get_ident():
            raise Away  # a loop that waits for itself would wait for ever
        future = asyncio.run_coroutine_threadsafe(work(), storage.loop)
        try:
            return future.result(2 * storage.timeout)
        except TimeoutError:
            future.cancel()
            raise Away from None

    async def _tell(self, admission: Admission, succeeded: bool | None) -> None:
        policy, ended = self._policy, "" if succeeded is None else int(succeeded)
        told = [self._kept, admission.shared or 0, ended, policy.failures, policy.successes, self._recovery]
        try:
            state, era = await self._settle(self._key, told)
        except Away:
            self.own.settle(admission.own, succeeded)
        else:
            self._follow(state, era)

    def _follow(self, state: bytes, era: int) -> int:
        """Have the own breaker in the state of all, unless newer news has overtaken this."""
        if era < self._seen:
            return self.own.era
        self._seen = era
        return self.own.follow(state.decode())
