"""Locks: one process at a time does something, on any machine."""

import asyncio
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.core.data.redis_client import BackendUnavailable, RedisClient
from app.core.errors import Conflict, ServiceUnavailable
from app.extensions.redis.store import milliseconds

GIVE_BACK = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"
logger = logging.getLogger(__name__)


class LockTaken(Conflict):
    """Another process holds this lock."""

    code = "lock_taken"
    message = "this is being done already"


class LockUnavailable(ServiceUnavailable):
    """The lock server is unreachable."""

    code = "lock_unavailable"
    message = "this cannot be done right now, try again"


class Locks:
    """Locks by name, in one namespace."""

    def __init__(self, connection: RedisClient | None, namespace: str) -> None:
        self._connection = connection
        self._namespace = namespace
        self._unsure: dict[str, str] = {}
        """Locks that the server may still hold for this process, by token."""
        if connection:
            self._give_back = connection.script(GIVE_BACK)
            connection.on_return.append(self._give_back_late)

    @asynccontextmanager
    async def hold(self, name: str, *, seconds: float, wait: float = 0.0) -> AsyncIterator[None]:
        """Hold a lock while the block runs. The block is cancelled after `seconds`, when the lock ends.

        The server can lose a lock if it restarts or is full: that is logged at the end of the block. What must never
        happen twice needs a constraint of the database as well.

        Args:
            name: the name of the lock.
            seconds: the time of the block.
            wait: seconds to wait while another process holds the lock.

        Raises:
            LockTaken: another process holds the lock.
            LockUnavailable: there is no server, or it does not answer.
            TimeoutError: the block took too long.
        """
        if self._connection is None:
            raise LockUnavailable
        key, token, give_up = f"{self._namespace}:lock:{name}", os.urandom(16).hex(), monotonic() + wait
        while True:
            ends = asyncio.get_running_loop().time() + seconds  # before the time of the server starts
            if await self._take(self._connection, key, token, seconds):
                break
            if monotonic() >= give_up:
                raise LockTaken
            await asyncio.sleep(0.05 * random.uniform(0.5, 1.5))  # noqa: S311  # so that not all ask at once
        try:
            async with asyncio.timeout_at(ends):
                yield
        finally:
            lost = not await self._release(key, token)
            if lost and asyncio.get_running_loop().time() < ends:
                logger.warning("the lock %s was lost before its block ended: another may have run meanwhile", name)

    async def _take(self, connection: RedisClient, key: str, token: str, seconds: float) -> bool:
        try:
            return bool(await connection.command("SET", key, token, "NX", "PX", milliseconds(seconds)))
        except BackendUnavailable as error:
            if error.__cause__ is not None:  # it was sent, and the server may still do it
                self._unsure[token] = key
            raise LockUnavailable from error
        except BaseException:  # cancelled, and it may have been sent
            await self._release(key, token)
            raise

    async def _release(self, key: str, token: str) -> bool:
        """Release a lock, now or when the server is back, and return true if it was still held."""
        try:
            return bool(await self._give_back([key], [token]))
        except BackendUnavailable:
            self._unsure[token] = key
            return True

    async def _give_back_late(self) -> None:
        while self._unsure:
            token, key = next(iter(self._unsure.items()))
            await self._give_back([key], [token])
            self._unsure.pop(token, None)


async def current_locks(request: HTTPConnection) -> Locks:
    """Return the locks of the running service."""
    locks: Locks = request.state.locks
    return locks


LocksDep = Annotated[Locks, Depends(current_locks)]
"""`async with locks.hold("report", seconds=30)` in a route."""
