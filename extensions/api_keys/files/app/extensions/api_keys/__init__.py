"""API keys: clients sign in with `X-API-Key`. Import `ApiKey` and `require` from here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.component import Component, State
from app.core.settings import Settings
from app.extensions.api_keys.guard import ApiKey, ApiKeyInsufficient, ApiKeyInvalid, require
from app.extensions.api_keys.keyring import Keyring
from app.extensions.api_keys.settings import ApiKeysSettings

__all__ = ["ApiKey", "ApiKeyInsufficient", "ApiKeyInvalid", "ApiKeysSettings", "component", "require"]


def component(settings: Settings) -> Component:
    """Hands the known keys to the guard. Routes are open until they ask for a key."""
    keyring = Keyring(settings.of(ApiKeysSettings).keys)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        yield {"api_keys": keyring}

    return Component(name="api_keys", lifespan=lifespan)
