"""The contract: everything that the service is made of is a `Component`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter
from starlette.applications import Starlette
from starlette.middleware import Middleware

State = Mapping[str, Any]
"""What is open so far, by name. Requests see the same as `request.state`."""

Lifespan = Callable[[State], AbstractAsyncContextManager[State]]


@asynccontextmanager
async def nothing_to_open(_: State) -> AsyncIterator[State]:
    """The lifespan of a component that holds no resource."""
    yield {}


@dataclass(frozen=True, kw_only=True)
class Check:
    """A readiness check: `probe` raises when the thing does not work.

    A failing `critical` check takes the service out of the load balancer; any other shows in `/health` alone.
    """

    name: str
    probe: Callable[[State], Awaitable[Mapping[str, Any] | None]]
    """Raises when the thing does not work; what it returns is shown to operators."""
    critical: bool = True
    timeout: float = 1.0
    """Seconds."""


Process = Callable[[State], Awaitable[None]]
"""What a process does in place of serving: it is called when everything is open, and ends with the process."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """One thing that the service is made of. Everything but the name is optional."""

    name: str
    routers: Sequence[APIRouter] = ()
    middleware: Sequence[Middleware] = ()
    lifespan: Lifespan = nothing_to_open
    checks: Sequence[Check] = ()
    processes: Mapping[str, Process] = field(default_factory=dict)
    """By the name under which `python -m app NAME` runs it."""


def opened_in_order(components: Sequence[Component]) -> Callable[[Starlette], AbstractAsyncContextManager[State]]:
    """The lifespan of the whole service: the first component opens first and closes last.

    Raises:
        ValueError: two components open something under one name.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        state: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            for component in components:
                opened = await stack.enter_async_context(component.lifespan(state))
                for key in opened:
                    if key in state:
                        raise ValueError(f"component {component.name}: another component already opened {key!r}")
                state |= opened
            yield state

    return lifespan


def in_serving_order(components: Sequence[Component]) -> Iterator[APIRouter]:
    """Every router, the last component's first: routes are matched one after another, and features are the hot ones."""
    for component in reversed(components):
        yield from component.routers
