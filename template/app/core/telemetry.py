"""What happens, as typed events: code emits them, and logs, metrics and others listen."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

logger = logging.getLogger(__name__)


class RequestFinished(NamedTuple):
    """A request has been answered. Times in seconds, sizes in bytes.

    `route` is the template, of which there are few; `path` is what was asked for, and anything.
    """

    method: str
    route: str
    status: int
    duration: float
    received: int
    sent: int
    path: str = ""


class RequestFailed(NamedTuple):
    """A request, or its background task, has met an unexpected error. `route` is the template of the path."""

    error: BaseException
    route: str = ""


class RequestStarted(NamedTuple):
    """A request has arrived."""

    method: str
    path: str = ""


class QueryFinished(NamedTuple):
    """A statement has run. `operation` is its first word."""

    operation: str
    duration: float
    statement: str


class CacheRead(NamedTuple):
    """A cache was asked. `outcome` is hit, miss, stale or error."""

    cache: str
    outcome: str
    duration: float


class CallFinished(NamedTuple):
    """A call to another service has ended. `outcome` is a status code or the name of an error."""

    service: str
    method: str
    outcome: str
    duration: float
    attempts: int = 1


class CallRetried(NamedTuple):
    """A call to another service is tried once more. `reason` is a status code or the name of an error."""

    service: str
    method: str
    reason: str


class BreakerChanged(NamedTuple):
    """The circuit breaker before another service is now `closed` (calls pass), `half_open` (one tries) or `open`."""

    service: str
    state: str


class JobFailed(NamedTuple):
    """A try of a background job has met an error. `retried`: it is tried once more."""

    job: str
    error: BaseException
    attempt: int
    retried: bool


class JobFinished(NamedTuple):
    """A background job has ended. `outcome` is complete, failed or aborted."""

    job: str
    outcome: str
    duration: float
    attempts: int = 1


class TokensUsed(NamedTuple):
    """A language model has been asked. `cost` in US dollars."""

    model: str
    prompt_tokens: int
    completion_tokens: int
    cost: float = 0.0


class BusinessEvent(NamedTuple):
    """Something that the business cares about: `name` is a past tense such as order_shipped.

    `outcome` is "unknown" if the connection was lost during the commit: it may or may not have happened.
    """

    name: str
    subject: str = ""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    outcome: str | None = None


class SecurityEvent(NamedTuple):
    """Something that a security officer cares about, such as authentication_failed."""

    name: str
    subject: str = ""
    reason: str = ""


EventT = TypeVar("EventT", bound=tuple[Any, ...])
Listener = Callable[[EventT], None]

_listeners: dict[type, tuple[Callable[[Any], None], ...]] = {}


def emit(event: tuple[Any, ...]) -> None:
    """Tell every listener. A listener that fails is logged, and hurts neither the caller nor the others."""
    for listener in _listeners.get(type(event), ()):
        try:
            listener(event)
        except Exception:
            logger.exception("a listener of %s failed", type(event).__name__)


def anyone_listens_to(event: type[EventT]) -> bool:
    """Whether an event needs making at all: for the hot paths."""
    return event in _listeners


@contextmanager
def listening(event: type[EventT], listener: Listener[EventT]) -> Iterator[None]:
    """Have `listener` called with each event of this type until the block ends."""
    _listeners[event] = (*_listeners.get(event, ()), listener)
    try:
        yield
    finally:
        rest = list(_listeners[event])
        rest.remove(listener)
        if rest:
            _listeners[event] = tuple(rest)
        else:
            del _listeners[event]
