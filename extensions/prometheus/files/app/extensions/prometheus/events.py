"""Everything beside requests that the service tells of: statements, caches, calls, jobs, models, business, security."""

from collections.abc import Callable
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from app.core.telemetry import (
    BreakerChanged,
    BusinessEvent,
    CacheRead,
    CallFinished,
    CallRetried,
    JobFinished,
    QueryFinished,
    SecurityEvent,
    TokensUsed,
)
from app.extensions.prometheus.labels import Children

MILLISECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
MINUTES = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0)
BREAKER = {"closed": 0, "half_open": 1, "open": 2}


class Events:
    """One listener for each kind of event."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        def counted(name: str, text: str, *labels: str) -> Children[Counter]:
            return Children(Counter(name, text, labels, registry=registry).labels)

        def timed(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Children[Histogram]:
            return Children(Histogram(name, text, labels, registry=registry, buckets=buckets).labels)

        gauge = partial(Gauge, registry=registry, multiprocess_mode="livemax")

        self.queries = timed(
            "database_query_duration_seconds", "Statements that ran.", "operation", buckets=MILLISECONDS
        )
        self.reads = counted("cache_reads_total", "Reads of caches.", "cache", "outcome")
        self.reading = timed(
            "cache_read_duration_seconds", "Time of a read, loading included.", "cache", buckets=MILLISECONDS
        )
        self.calls = counted(
            "external_calls_total", "Calls to other services, retries apart.", "dependency", "method", "outcome"
        )
        self.calling = timed(
            "external_call_duration_seconds", "Time of a call, retries included.", "dependency", buckets=SECONDS
        )
        self.retries = counted("external_call_retries_total", "Calls tried once more.", "dependency", "reason")
        self.breakers = Children(
            gauge("external_breaker_state", "Circuit breaker: 0 closed, 1 half open, 2 open.", ["dependency"]).labels
        )
        self.jobs = counted("jobs_total", "Background jobs that ended.", "name", "outcome")
        self.working = timed("job_duration_seconds", "Time of a job, retries included.", "name", buckets=MINUTES)
        self.tokens = counted("model_tokens_total", "Tokens of language models.", "model", "kind")
        self.cost = counted("model_cost_dollars_total", "What they cost, in US dollars.", "model")
        self.business = counted("business_events_total", "What the business cares about.", "event")
        self.security = counted("security_events_total", "What a security officer cares about.", "event")
        self.listeners: dict[type[tuple[Any, ...]], Callable[[Any], None]] = {
            QueryFinished: self.query_finished,
            CacheRead: self.cache_read,
            CallFinished: self.call_finished,
            CallRetried: self.call_retried,
            BreakerChanged: self.breaker_changed,
            JobFinished: self.job_finished,
            TokensUsed: self.tokens_used,
            BusinessEvent: self.business_event,
            SecurityEvent: self.security_event,
        }

    def query_finished(self, event: QueryFinished) -> None:
        """A statement has run."""
        self.queries[event.operation,].observe(event.duration)

    def cache_read(self, event: CacheRead) -> None:
        """A cache was asked."""
        self.reads[event.cache, event.outcome].inc()
        self.reading[event.cache,].observe(event.duration)

    def call_finished(self, event: CallFinished) -> None:
        """A call to another service has ended."""
        self.calls[event.service, event.method, event.outcome].inc()
        self.calling[event.service,].observe(event.duration)

    def call_retried(self, event: CallRetried) -> None:
        """A call to another service is tried once more."""
        self.retries[event.service, event.reason].inc()

    def breaker_changed(self, event: BreakerChanged) -> None:
        """The circuit breaker before another service has moved."""
        self.breakers[event.service,].set(BREAKER[event.state])

    def job_finished(self, event: JobFinished) -> None:
        """A background job has ended."""
        self.jobs[event.job, event.outcome].inc()
        self.working[event.job,].observe(event.duration)

    def tokens_used(self, event: TokensUsed) -> None:
        """A language model has been asked."""
        self.tokens[event.model, "prompt"].inc(event.prompt_tokens)
        self.tokens[event.model, "completion"].inc(event.completion_tokens)
        self.cost[event.model,].inc(event.cost)

    def business_event(self, event: BusinessEvent) -> None:
        """Something happened that the business cares about."""
        self.business[event.name,].inc()

    def security_event(self, event: SecurityEvent) -> None:
        """Something happened that a security officer cares about."""
        self.security[event.name,].inc()
