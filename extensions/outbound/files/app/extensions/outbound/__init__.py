"""Outbound calls that survive the failures of other services: `Client`, `client` and `resilient`."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends
from fastapi.requests import HTTPConnection

from app.core.component import Check, Component, State
from app.core.settings import Settings
from app.extensions.outbound.client import Client, Outbound, installed, resilient
from app.extensions.outbound.settings import (
    BreakerChanged,
    CallFailed,
    CallFinished,
    CallRetried,
    CallsExhausted,
    CircuitOpen,
    OutboundSettings,
    UrlMissing,
    UrlRefused,
)

__all__ = [
    "BreakerChanged",
    "CallFailed",
    "CallFinished",
    "CallRetried",
    "CallsExhausted",
    "CircuitOpen",
    "Client",
    "OutboundSettings",
    "UrlMissing",
    "UrlRefused",
    "client",
    "component",
    "resilient",
]


def client(service: str) -> Any:
    """Return the dependency for the client of a service: `Billing = Annotated[Client, client("billing")]`."""

    async def found(request: HTTPConnection) -> Client:
        outbound: Outbound = request.state.outbound
        return outbound.client(service)

    return Depends(found)


def component(settings: Settings) -> Component:
    """Keep a client and a guard for each service."""

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they log whole URLs and headers
        outbound = Outbound(settings.of(OutboundSettings))
        with installed(outbound):
            try:
                yield {"outbound": outbound}
            finally:
                await outbound.close()

    async def probe(state: State) -> Mapping[str, Any]:
        states = {service: guard.breaker.state for service, guard in list(state["outbound"].guards.items())}
        if ill := [service for service, breaker in states.items() if breaker != "closed"]:
            raise CallFailed(", ".join(ill), "CircuitOpen")
        return states

    return Component(name="outbound", lifespan=lifespan, checks=[Check(name="outbound", probe=probe, critical=False)])
