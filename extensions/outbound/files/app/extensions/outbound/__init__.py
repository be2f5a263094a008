"""Outbound calls: other services fail, and this one bears it. Import `Client`, `client` and `resilient` from here."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, Request

from app.core.component import Check, Component, State
from app.core.settings import ServiceSettings, Settings
from app.extensions.outbound.client import Client
from app.extensions.outbound.decorator import resilient
from app.extensions.outbound.errors import CallFailed, CallsExhausted, CircuitOpen
from app.extensions.outbound.registry import Outbound, installed
from app.extensions.outbound.settings import OutboundSettings
from app.extensions.outbound.storage import Storage

__all__ = [
    "CallFailed",
    "CallsExhausted",
    "CircuitOpen",
    "Client",
    "OutboundSettings",
    "client",
    "component",
    "resilient",
]


def client(service: str) -> Any:
    """The dependency for the client of a service: `Billing = Annotated[Client, client("billing")]`."""

    async def found(request: Request) -> Client:
        outbound: Outbound = request.state.outbound
        return outbound.client(service)

    return Depends(found)


def component(settings: Settings) -> Component:
    """Keeps a client and a guard for each service that is called."""
    mine, service = settings.of(OutboundSettings), settings.of(ServiceSettings)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.WARNING)  # they log whole URLs and headers, with what these carry
        storage = Storage(mine.storage_url, mine.storage_timeout, service.name) if mine.storage_url else None
        outbound = Outbound(mine, storage)
        with installed(outbound):
            try:
                yield {"outbound": outbound}
            finally:
                await outbound.close()

    async def probe(state: State) -> Mapping[str, Any]:
        states = {service: await guard.gate.look() for service, guard in list(state["outbound"].guards.items())}
        if ill := [service for service, breaker in states.items() if breaker != "closed"]:
            raise CallFailed(", ".join(ill), "CircuitOpen")
        return states

    return Component(name="outbound", lifespan=lifespan, checks=[Check(name="outbound", probe=probe, critical=False)])
