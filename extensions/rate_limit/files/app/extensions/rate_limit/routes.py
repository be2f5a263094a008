"""Limits of single routes: a mark on the endpoint, found by the path before routing."""

import re
from collections.abc import Callable, Iterable
from inspect import unwrap
from typing import Any, NamedTuple, TypeVar

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from app.extensions.rate_limit.windows import Limit, limit

EndpointT = TypeVar("EndpointT", bound=Callable[..., Any])
MARK = "__rate_limit__"


def limited(*, per_minute: int | None = None, per_hour: int | None = None) -> Callable[[EndpointT], EndpointT]:
    """Give a route its own limit and counter, in place of the service's; without arguments, no limit."""
    own = limit(per_minute, per_hour)

    def mark(endpoint: EndpointT) -> EndpointT:
        setattr(endpoint, MARK, own)
        return endpoint

    return mark


class Route(NamedTuple):
    """A route, with its own limit if it has one."""

    pattern: re.Pattern[str]
    methods: frozenset[str | None]
    """`None` is the handshake of a WebSocket."""
    template: str
    limit: Limit | None


class Routes:
    """All routes of the service, in the order of matching."""

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        self._all = [
            Route(
                context.path_regex,
                frozenset(context.methods or [None]),
                context.path or "",
                getattr(unwrap(context.endpoint), MARK, None) if context.endpoint else None,
            )
            for context in iter_route_contexts(list(routes))
        ]
        self.marked = [route for route in self._all if route.limit is not None]

    def own_limit(self, method: str | None, path: str) -> Route | None:
        """Return the route if it has its own limit."""
        for marked in self.marked:  # few: most requests end here
            if method in marked.methods and marked.pattern.match(path):
                first = next(route for route in self._all if method in route.methods and route.pattern.match(path))
                return first if first.limit is not None else None
        return None
