"""The other service, a guarded client of it, and the events of calls."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.core.telemetry import listening
from app.extensions.outbound import BreakerChanged, CallFinished, CallRetried, Client
from app.extensions.outbound.guard import Guard
from app.extensions.outbound.settings import Policy
from tests.extensions.outbound.other import Other, listening_other

Connect = Callable[..., Client]


@pytest.fixture
def other() -> Iterator[Other]:
    """Another service."""
    with listening_other() as serving:
        yield serving


@pytest.fixture
async def connect(other: Other) -> AsyncIterator[Connect]:
    """`connect(attempts=2)`: a client of the other service by this policy, with waits that a test can afford."""
    async with AsyncExitStack() as stack:

        def client(**policy: Any) -> Client:
            quick = {"url": other.url, "timeout": 2.0, "backoff": 0.001, "failures": 100, **policy}
            made = Client(Guard("billing", Policy(**quick)))
            stack.push_async_callback(made.http.aclose)
            return made

        yield client


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """The events of calls: how they ended, were made again, and what became of the circuit breaker."""
    events: list[Any] = []
    with (
        listening(CallFinished, events.append),
        listening(CallRetried, events.append),
        listening(BreakerChanged, events.append),
    ):
        yield events
