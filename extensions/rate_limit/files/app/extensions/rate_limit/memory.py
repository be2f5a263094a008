"""Counting in this process: for a single one, and for all of them while their storage is away."""

from time import time

from app.extensions.rate_limit.windows import Limit, Verdict, count


class Memory:
    """The counters of the clients, of which it keeps a bounded number."""

    def __init__(self, clients: int) -> None:
        self._clients = clients
        self._counters: dict[str, list[int]] = {}

    def hit(self, client: str, limit: Limit) -> Verdict:
        """Count a request, if it may pass."""
        counters = self._counters.get(client)
        if counters is None:
            if len(self._counters) >= self._clients:
                self._forget()
            counters = self._counters[client] = [0] * (3 * len(limit.windows))
        return count(counters, limit.windows, time())

    def _forget(self) -> None:
        """Forget the tenth that has been known for longest: rarely, since each time it takes a while."""
        for client in list(self._counters)[: len(self._counters) // 10 + 1]:
            del self._counters[client]
