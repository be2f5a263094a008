"""The metrics: requests, other events, and what is in use at the moment."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.pool import QueuePool

from app.core import telemetry
from app.core.database import Database
from app.extensions.prometheus.settings import TokensUsed

ChildT = TypeVar("ChildT")

Registry = CollectorRegistry | None
LIMIT = 100
LOOK = 0.1
"""Seconds between two measurements of the event loop."""
OTHER = "other"
UNCOUNTED = frozenset({"/health", "/health/live", "/health/ready", "/health/startup", "/metrics"})
"""Probes of machines, every few seconds, are not counted."""

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SWITCHING = 101
"""The status of a handshake: a WebSocket is open."""
ROUTES = 1000
"""Templates with their own series."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
MILLISECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Children(dict[tuple[object, ...], ChildT], Generic[ChildT]):
    """The child metric of each combination of label values, created once.

    A label keeps its first `limit` values; all later ones count as `other`.
    """

    def __init__(self, make: Callable[..., ChildT], *, limit: int = LIMIT) -> None:
        super().__init__()
        self.make = make
        self.limit = limit
        self._kept: defaultdict[int, set[object]] = defaultdict(set)

    def __missing__(self, values: tuple[object, ...]) -> ChildT:
        """Create the child. Only one with its own values is stored, so that memory is bounded too."""
        kept = tuple(self._keep(*position) for position in enumerate(values))
        child = self.make(*kept)
        if kept == values:
            self[values] = child
        return child

    def _keep(self, position: int, value: object) -> object:
        kept = self._kept[position]
        if value not in kept and len(kept) >= self.limit:
            return OTHER
        kept.add(value)
        return value


class Child(NamedTuple):
    """The metrics of one method, route and status."""

    answered: Counter
    duration: Histogram
    received: Counter
    sent: Counter


class Requests:
    """The metrics of requests by method, route template and status, and the number in flight."""

    def __init__(self, registry: Registry) -> None:
        labels = ("method", "route", "status")
        closed = Counter("websockets_closed_total", "WebSockets that ended.", ["route", "code"], registry=registry)
        self._closed = Children(closed.labels)
        self._families: tuple[Any, ...] = (
            Counter("http_requests_total", "Requests answered.", labels, registry=registry),
            Histogram(
                "http_request_duration_seconds", "Time to the last byte.", labels, registry=registry, buckets=SECONDS
            ),
            Counter("http_request_bytes_total", "Bodies of requests.", labels, registry=registry),
            Counter("http_response_bytes_total", "Bodies of answers.", labels, registry=registry),
        )
        self._children = Children(self._child, limit=ROUTES)
        self.in_flight = 0
        self.sockets = 0
        self.listeners: dict[type[tuple[Any, ...]], Callable[[Any], None]] = {
            telemetry.RequestStarted: self.started,
            telemetry.RequestFinished: self.finished,
            telemetry.WebSocketClosed: self.closed,
        }

    def started(self, event: telemetry.RequestStarted) -> None:
        if event.path not in UNCOUNTED:
            self.in_flight += 1

    def finished(self, event: telemetry.RequestFinished) -> None:
        """Count a request. Metrics cost 2.6 µs a request, and 5.3 µs with several processes."""
        if event.path in UNCOUNTED:
            return
        self.in_flight -= 1
        self.sockets += event.status == SWITCHING
        child = self._children[event.method, event.route, event.status]
        child.answered.inc()
        child.duration.observe(event.duration)
        if event.received:
            child.received.inc(event.received)
        if event.sent:
            child.sent.inc(event.sent)

    def closed(self, event: telemetry.WebSocketClosed) -> None:
        self.sockets -= 1
        self._closed[event.route, event.code].inc()

    def _child(self, method: str, route: str, status: int) -> Child:
        labels = (method if method in METHODS else OTHER, route, status)
        return Child(*(family.labels(*labels) for family in self._families))


def event_listeners(registry: Registry) -> Iterator[tuple[type[tuple[Any, ...]], Callable[[Any], None]]]:
    """Make the metrics of all other events, and yield their listeners. Extensions describe their own events.

    `counter=(name, text, labels)`, `histogram=(name, text, labels, buckets)` of the event's `duration`, and
    `gauge=(name, text, labels)` of its `level`. Labels are a mapping to the fields of the event.
    """
    counters, histograms = telemetry.descriptions("counter"), telemetry.descriptions("histogram")
    counters[telemetry.BusinessEvent] = ("business_events_total", "Business events.", {"event": "name"})
    counters[telemetry.SecurityEvent] = ("security_events_total", "Security events.", {"event": "name"})
    queries = ("database_query_duration_seconds", "Statements that ran.", {"operation": "operation"}, MILLISECONDS)
    histograms[telemetry.QueryFinished] = queries
    for event, (name, text, labels) in counters.items():
        yield event, _listener(Counter(name, text, labels, registry=registry), labels, lambda child, _: child.inc())
    for event, (name, text, labels, buckets) in histograms.items():
        timed = Histogram(name, text, labels, registry=registry, buckets=buckets)
        yield event, _listener(timed, labels, lambda child, event: child.observe(event.duration))
    for event, (name, text, labels) in telemetry.descriptions("gauge").items():
        level = Gauge(name, text, labels, registry=registry, multiprocess_mode="livemax")
        yield event, _listener(level, labels, lambda child, event: child.set(event.level))
    tokens = Children(Counter("model_tokens_total", "Tokens of models.", ["model", "kind"], registry=registry).labels)
    cost = Children(Counter("model_cost_dollars_total", "Cost in US dollars.", ["model"], registry=registry).labels)

    def used(event: TokensUsed) -> None:
        tokens[event.model, "prompt"].inc(event.prompt_tokens)
        tokens[event.model, "completion"].inc(event.completion_tokens)
        cost[event.model,].inc(event.cost)

    yield TokensUsed, used


def _listener(family: Any, labels: dict[str, str], count: Callable[[Any, Any], None]) -> Callable[[Any], None]:
    children, fields = Children[Any](family.labels), tuple(labels.values())
    return lambda event: count(children[tuple(getattr(event, field) for field in fields)], event)


async def measure_lag(registry: Registry) -> None:
    """Measure by how much the event loop runs late: what a request waits for while other code holds the loop."""
    lag = Histogram(
        "event_loop_lag_seconds", "Time by which the event loop runs late.", registry=registry, buckets=SECONDS
    )
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LOOK
        await asyncio.sleep(LOOK)
        lag.observe(max(0.0, loop.time() - due))


class Saturation:
    """Gauges that are set at each scrape: requests in flight and the pool. Processes are added up."""

    def __init__(self, registry: Registry, requests: Requests) -> None:
        gauge = partial(Gauge, registry=registry, multiprocess_mode="livesum")
        self.requests = requests
        self.database: Database | None = None
        self.in_flight = gauge("http_requests_in_flight", "Requests being served.")
        self.sockets = gauge("websockets_open", "WebSockets that are open.")
        self.limit = gauge("database_pool_limit", "Connections that may be open, overflow included.")
        self.size = gauge("database_pool_size", "Connections that stay open.")
        self.checked_out = gauge("database_pool_checked_out", "Connections in use.")
        self.overflow = gauge("database_pool_overflow", "Connections open beyond those that stay open.")
        self.waiting = gauge("database_pool_waiting", "Requests that wait for a connection.")

    def look(self) -> None:
        self.in_flight.set(self.requests.in_flight)
        self.sockets.set(self.requests.sockets)
        if self.database is None:
            return
        gates = {self.database.reads, self.database.writes}  # the same object if there are many writers
        self.limit.set(sum(gate.places for gate in gates))
        self.waiting.set(sum(gate.waiting for gate in gates))
        pool = self.database.engine.pool
        if isinstance(pool, QueuePool):
            self.size.set(pool.size())
            self.checked_out.set(pool.checkedout())
            self.overflow.set(max(0, pool.overflow()))
