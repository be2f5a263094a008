"""The guards and the clients by the names of their services: one of each, whoever asks."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from app.extensions.outbound.client import Client
from app.extensions.outbound.guard import Guard
from app.extensions.outbound.settings import OutboundSettings
from app.extensions.outbound.storage import Storage


class Outbound:
    """Everything that this service calls."""

    def __init__(self, settings: OutboundSettings, storage: Storage | None = None) -> None:
        self._settings = settings
        self._storage = storage
        self._lock = Lock()
        self.guards: dict[str, Guard] = {}
        self.clients: dict[str, Client] = {}
        for service in settings.services:  # now: a TLS context takes 30 ms to make, that a request would wait
            self.client(service)

    def guard(self, service: str) -> Guard:
        """The guard before a service."""
        with self._lock:
            if service not in self.guards:
                self.guards[service] = Guard(service, self._settings.policy(service), self._storage)
            return self.guards[service]

    def client(self, service: str) -> Client:
        """The client of a service."""
        if service not in self.clients:
            self.clients[service] = Client(self.guard(service))
        return self.clients[service]

    async def close(self) -> None:
        """Close every connection."""
        for client in self.clients.values():
            await client.http.aclose()
        if self._storage is not None:
            await self._storage.close()


_current = Outbound(OutboundSettings())
"""What decorated functions use; outside of a running service, the defaults."""


def guard(service: str) -> Guard:
    """The guard before a service, as the running service has configured it."""
    return _current.guard(service)


@contextmanager
def installed(outbound: Outbound) -> Iterator[None]:
    """Have decorated functions use this one until the block ends."""
    global _current  # functions are decorated at import, before there are settings
    before, _current = _current, outbound
    try:
        yield
    finally:
        _current = before
