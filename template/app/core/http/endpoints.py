"""Endpoints: the place behind all dependencies where a request may have something around what it does."""

from collections.abc import Callable
from functools import partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool

from app.core import context
from app.core.http.decimals import ExactRoute

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""


class Router(APIRouter):
    """A router whose endpoints of unsafe methods run within `RequestContext.around`, where there is one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"route_class": ExactRoute, **options})

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Add a route, as APIRouter does."""
        if not SAFE.issuperset(options.get("methods") or ("GET",)):
            endpoint = _within(endpoint)
        super().add_api_route(path, endpoint, **options)


def _within(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    if isasyncgenfunction(endpoint) or isgeneratorfunction(endpoint):
        return endpoint  # a stream: it has no one moment at which it is done
    waiting = iscoroutinefunction(endpoint)

    @wraps(endpoint)
    async def run(*args: Any, **kwargs: Any) -> Any:
        request = context.current()
        call = partial(endpoint if waiting else partial(run_in_threadpool, endpoint), *args, **kwargs)
        return await (call() if request is None or request.around is None else request.around(call))

    return run
