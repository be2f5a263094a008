"""Clients that write and read at once, keep to the rules of the API, and note what they were told."""

import asyncio
import random
import time
from collections.abc import Sequence
from itertools import count

import httpx2

from tests.live.history import NEVER, Attempt, History, Read, Write

TIMEOUT = 4.0
"""Seconds after which a client gives up: then it has no answer."""
HASTY = 0.05
"""Seconds within which a client leaves that does not wait for its answer."""
PATIENCE = 30.0
"""Seconds after the last fault in which every repetition has to find its end."""
METHODS = {"create": "POST", "change": "PUT", "delete": "DELETE"}
KNOWN = 20
"""Entries that clients change at a time: so few that they meet."""


class Clients:
    """So many clients of some instances, with what they know in common."""

    def __init__(self, urls: Sequence[str], *, seed: int = 0, leaving: float = 0.0) -> None:
        self.urls = urls
        self.leaving = leaving
        """The share of requests whose client leaves before it can have its response."""
        self.history = History()
        self.random = random.Random(seed)  # noqa: S311  # no secret
        self.numbers = count(1)
        self.versions: dict[str, int] = {}
        """The version of each entry that is still changed, as far as it was told."""
        self.until = NEVER
        self.http = httpx2.AsyncClient(timeout=TIMEOUT, limits=httpx2.Limits(max_connections=200))

    async def run(self, clients: int, seconds: float) -> None:
        """Write and read for some seconds, then find out what has become of each write that has a key."""
        self.until = time.monotonic() + seconds
        await asyncio.gather(*(self._client(number) for number in range(clients)))

    async def read_all(self, most: int = 100) -> None:
        """Read the entries that were written last, at every instance."""
        references = list(dict.fromkeys(write.reference for write in self.history.writes))[-most:]
        for instance in range(len(self.urls)):
            for start in range(0, len(references), 10):
                await asyncio.gather(*(self.read(one, instance) for one in references[start : start + 10]))

    async def _client(self, number: int) -> None:
        while time.monotonic() < self.until:
            choice = self.random.random()
            if choice < 0.3 or not self.versions:
                await self.create(number)
            elif choice < 0.65:
                await self.write(number, "change", *self._known())
            elif choice < 0.7 and len(self.versions) > KNOWN // 2:
                await self.write(number, "delete", *self._known())
            else:
                await self.read(self._known()[0], self._instance())

    def _known(self) -> tuple[str, int]:
        return self.random.choice(list(self.versions.items()))

    def _instance(self) -> int:
        return self.random.randrange(len(self.urls))

    async def create(self, client: int = 0, *, key: bool | None = None) -> Write:
        """Make an entry."""
        return await self.write(client, "create", f"entry-{next(self.numbers)}", 0, key=key)

    async def write(self, client: int, kind: str, reference: str, version: int, *, key: bool | None = None) -> Write:
        """Write once, and again with the same key while no one knows what has become of it."""
        made = 0 if kind == "delete" else version + 1
        with_key = self.random.random() < 0.6 if key is None else key
        write = Write(client, kind, reference, f"value-{next(self.numbers)}", made, key=with_key)
        self.history.writes.append(write)
        await self._attempt(write, version)
        while write.key and not (write.refused or write.resolved) and time.monotonic() < self.until + PATIENCE:
            await asyncio.sleep(0.2)
            await self._attempt(write, version)
        if write.acknowledged < NEVER and kind != "delete":
            self.versions[reference] = made
        elif write.denied or kind == "delete":
            self.versions.pop(reference, None)
        while len(self.versions) > KNOWN:
            self.versions.pop(next(iter(self.versions)))
        return write

    async def _attempt(self, write: Write, version: int) -> None:
        instance = self._instance()
        attempt = Attempt(instance, time.monotonic())
        write.attempts.append(attempt)
        headers = {"If-Match": f'"{version}"'} if version else {}
        if write.key:
            headers["Idempotency-Key"] = write.value
        deleting = write.kind == "delete"
        try:
            answer = await self.http.request(
                METHODS[write.kind],
                f"{self.urls[instance]}/api/v1/entries/{write.reference}",
                headers=headers,
                params={"value": write.value} if deleting else None,
                json=None if deleting else {"value": write.value},
                timeout=self.random.uniform(0, HASTY) if self.random.random() < self.leaving else TIMEOUT,
            )
        except httpx2.ConnectError:
            attempt.code, attempt.end = "never_sent", time.monotonic()
            await asyncio.sleep(0.05)
            return
        except httpx2.TransportError:
            return
        attempt.status, attempt.end = answer.status_code, time.monotonic()
        attempt.code = "" if answer.is_success else answer.json()["code"]
        attempt.replayed = "idempotency-replayed" in answer.headers

    async def read(self, reference: str, instance: int) -> None:
        """Read an entry from the cache."""
        start = time.monotonic()
        try:
            answer = await self.http.get(f"{self.urls[instance]}/api/v1/entries/{reference}")
        except httpx2.TransportError:
            await asyncio.sleep(0.05)
            return
        if answer.is_success:
            found = answer.json()
            self.history.reads.append(Read(reference, start, found["value"], found["version"]))
