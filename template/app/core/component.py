"""The contract: everything that the service is made of is a `Component`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.middleware import Middleware

State = Mapping[str, Any]
"""The open resources by name. Requests see the same as `request.state`."""
Lifespan = Callable[[State], AbstractAsyncContextManager[State]]
Process = Callable[[State], Awaitable[None]]
"""The work of a process in place of serving: called when everything is open, and ends with the process."""


@asynccontextmanager
async def nothing_to_open(_: State) -> AsyncIterator[State]:
    yield {}


@dataclass(frozen=True, kw_only=True)
class Check:
    """A readiness check. A failing `critical` one takes the service out of the load balancer."""

    name: str
    probe: Callable[[State], Awaitable[Mapping[str, Any] | None]]
    """Raises if the part does not work; returns facts for operators."""
    critical: bool = True
    timeout: float = 1.0
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One part of the service. Everything but the name is optional."""

    name: str
    routers: Sequence[APIRouter] = ()
    middleware: Sequence[Middleware] = ()
    lifespan: Lifespan = nothing_to_open
    checks: Sequence[Check] = ()
    response_headers: Mapping[str, str] = field(default_factory=dict)
    """The headers that it adds to responses, by name, each with its description for OpenAPI."""
    processes: Mapping[str, Process] = field(default_factory=dict)
    """By the name under which `python -m app NAME` runs it."""


def opened_in_order(components: Sequence[Component]) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    """Return the lifespan of the whole service: the first component opens first and closes last."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        state: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            for component in components:
                opened = await stack.enter_async_context(component.lifespan(state))
                if taken := sorted(opened.keys() & state):
                    raise ValueError(f"component {component.name}: another component already opened {taken[0]!r}")
                state |= opened
            yield state

    return lifespan


def in_serving_order(components: Sequence[Component]) -> Iterator[APIRouter]:
    """Yield every router, the last component's first: routes are matched in order, and those of features are hot."""
    for component in reversed(components):
        yield from component.routers
