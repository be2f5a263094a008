"""Rate limit: how often one client or one key may call."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.middleware import Middleware

from app.core.component import Component, State
from app.core.server.serve import ServerSettings
from app.core.settings import ServiceSettings, Settings
from app.extensions.rate_limit.middleware import RateLimit
from app.extensions.rate_limit.routes import limited
from app.extensions.rate_limit.settings import RateLimitSettings
from app.extensions.rate_limit.windows import SharedCounters

__all__ = ["RateLimitSettings", "component", "limited"]

logger = logging.getLogger(__name__)
RESPONSE_HEADERS = {
    "RateLimit-Limit": "Requests of a window.",
    "RateLimit-Policy": "Each window: its requests and its seconds.",
    "RateLimit-Remaining": "Requests that are left in this window.",
    "RateLimit-Reset": "Seconds until the window ends.",
}


def component(settings: Settings) -> Component:
    """Count in this process, or in a storage for all processes."""
    mine = settings.of(RateLimitSettings)
    service = settings.of(ServiceSettings)
    if mine.enabled is False or (mine.enabled is None and service.environment == "test"):
        return Component(name="rate_limit")
    shared = SharedCounters(mine, service.name) if mine.storage_url else None

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        workers = settings.of(ServerSettings).workers
        if shared is None and workers > 1:
            logger.warning(
                "each of the %d processes counts for itself, so the limits are that many times as high: "
                "set RATE_LIMIT__STORAGE_URL",
                workers,
            )
        try:
            yield {}
        finally:
            if shared is not None:
                await shared.client.close()

    return Component(
        name="rate_limit",
        middleware=[Middleware(RateLimit, mine, shared)],
        lifespan=lifespan,
        response_headers=RESPONSE_HEADERS,
    )
