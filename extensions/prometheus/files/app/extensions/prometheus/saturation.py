"""Saturation: what is in use at this moment. No event tells it, so it is looked up at each scrape."""

from functools import partial

from prometheus_client import CollectorRegistry, Gauge
from sqlalchemy.pool import QueuePool

from app.core.database import Database
from app.extensions.prometheus.requests import Requests


class Saturation:
    """Requests in flight and the connections of the pool. Several processes add theirs up."""

    def __init__(self, registry: CollectorRegistry | None, requests: Requests) -> None:
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        self.requests = requests
        self.database: Database | None = None
        self.in_flight = gauge("http_requests_in_flight", "Requests being served.")
        self.limit = gauge("database_pool_limit", "Connections that may be open, overflow included.")
        self.size = gauge("database_pool_size", "Connections that stay open.")
        self.checked_out = gauge("database_pool_checked_out", "Connections in use.")
        self.overflow = gauge("database_pool_overflow", "Connections open beyond those that stay open.")
        self.waiting = gauge("database_pool_waiting", "Requests that wait for a connection.")

    def look(self) -> None:
        """Set the gauges to what is true now."""
        self.in_flight.set(self.requests.in_flight)
        if self.database is None:
            return
        gates = {self.database.reads, self.database.writes}  # one and the same where there are many writers
        self.limit.set(sum(gate.places for gate in gates))
        self.waiting.set(sum(gate.waiting for gate in gates))
        pool = self.database.engine.pool
        if isinstance(pool, QueuePool):
            self.size.set(pool.size())
            self.checked_out.set(pool.checkedout())
            self.overflow.set(max(0, pool.overflow()))
