"""The component of a service that believes tokens: by a shared secret, or by an issuer's keys."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from app.core.component import Check, Component, State
from app.extensions.jwt.keys import RemoteKeys
from app.extensions.jwt.settings import JwtSettings
from app.extensions.jwt.verifier import SharedSecret, Verifier


def trusting(settings: JwtSettings) -> Component:
    """The component, by the settings."""
    if settings.secret:
        verifier = Verifier(settings, SharedSecret(settings.secret.get_secret_value()))

        @asynccontextmanager
        async def nothing_to_fetch(_: State) -> AsyncIterator[State]:
            yield {"jwt": verifier}

        return Component(name="jwt", lifespan=nothing_to_fetch)
    keys = RemoteKeys(settings)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        async with keys.kept_fresh():
            yield {"jwt": Verifier(settings, keys)}

    async def probe(_: State) -> Mapping[str, Any]:
        if keys.failed:
            raise keys.failed
        return {"keys": len(keys)}

    # Not critical: without the issuer the known keys serve on, and whatever needs no token works anyway.
    return Component(name="jwt", lifespan=lifespan, checks=[Check(name="jwt", probe=probe, critical=False)])
