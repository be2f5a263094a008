"""Typed events: code emits them, and logs, metrics and others listen. An event of an extension is in that extension."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
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


class WebSocketClosed(NamedTuple):
    """A WebSocket has ended, with this close code, after so many seconds and messages. Its handshake was a request."""

    route: str
    code: int
    duration: float
    received: int
    sent: int


class QueryFinished(NamedTuple):
    """A statement has run. `operation` is its first word."""

    operation: str
    duration: float
    statement: str


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
_descriptions: dict[type[tuple[Any, ...]], dict[str, Any]] = {}


def describe(event: type[tuple[Any, ...]], **facets: Any) -> None:
    """Say how listeners treat a kind of event that they do not know: `log=("info", "job finished")` is its log line.

    Each other facet belongs to the extension that reads it, and has no effect without that extension.
    """
    _descriptions[event] = facets


def descriptions(facet: str) -> dict[type[tuple[Any, ...]], Any]:
    """Return the kinds of events that have a facet, each with its value."""
    return {event: facets[facet] for event, facets in _descriptions.items() if facet in facets}


describe(BusinessEvent, log=("info", "business event"))
describe(SecurityEvent, log=("info", "security event"))
describe(QueryFinished, log=("debug", "query finished"))


def emit(event: tuple[Any, ...]) -> None:
    """Tell every listener. A listener that fails is logged, and hurts neither the caller nor the others."""
    for listener in _listeners.get(type(event), ()):
        try:
            listener(event)
        except Exception:
            logger.exception("a listener of %s failed", type(event).__name__)


def anyone_listens_to(event: type[EventT]) -> bool:
    """Return whether an event has a listener, so that hot paths make none without."""
    return bool(_listeners.get(event))


@contextmanager
def listening(event: type[EventT], listener: Listener[EventT]) -> Iterator[None]:
    """Have `listener` called with each event of this type until the block ends."""
    _listeners[event] = (*_listeners.get(event, ()), listener)
    try:
        yield
    finally:
        _listeners[event] = tuple(other for other in _listeners[event] if other is not listener)


def __getattr__(name: str) -> Any:
    """Find an event that was in this module up to 0.3 and is in its extension now. This works until 0.6."""
    if not name.startswith("_"):
        import_module("app.extensions")  # the enabled extensions describe their events
        for event in (event for event in _descriptions if event.__name__ == name):
            place = ".".join(event.__module__.split(".")[:3])
            warnings.warn(f"{__name__}.{name} is now {place}.{name}: change the import", DeprecationWarning, 2)
            return event
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
