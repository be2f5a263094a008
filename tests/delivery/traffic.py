"""Traffic through the proxy: callers that never try again, and what became of each of their requests."""

import asyncio
import ssl
import threading
from itertools import count
from types import TracebackType
from typing import Self

import httpx2

from tests.live.service import BOUND, ORDERS, order


class Traffic:
    """So many callers at once, for as long as the block lasts; one request in three stores an order."""

    def __init__(self, url: str, context: ssl.SSLContext, *, callers: int = 8) -> None:
        self.url = url
        self.context = context
        self.callers = callers
        self.done = 0
        self.failed: list[str] = []
        self.placed: list[str] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The last requests get their answers."""
        self._ended.set()
        self._thread.join(timeout=BOUND)

    async def _run(self) -> None:
        # One client for all: HTTP/1.1, connections kept, and no transport that tries again.
        async with httpx2.AsyncClient(base_url=self.url, verify=self.context, timeout=BOUND) as http:
            await asyncio.gather(*(self._call(http, name) for name in range(self.callers)))

    async def _call(self, http: httpx2.AsyncClient, name: int) -> None:
        for number in count():
            if self._ended.is_set():
                return
            try:
                if number % 3:
                    answer = await http.get(ORDERS, params={"size": 1})
                else:
                    answer = await http.post(ORDERS, json=order(f"{name}-{number}"))
                    self.placed.append(answer.headers.get("location", ""))
                if answer.status_code != (200 if number % 3 else 201):
                    self.failed.append(f"{answer.status_code} {answer.text}")
            except httpx2.TransportError as error:
                self.failed.append(repr(error))
            self.done += 1
