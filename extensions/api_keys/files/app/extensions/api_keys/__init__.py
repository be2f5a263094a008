"""API keys: clients sign in with `X-API-Key`. Import `ApiKey` and `require_scopes` from here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.component import Component, State
from app.core.settings import Settings
from app.extensions.api_keys.guard import ApiKey, ApiKeyInsufficient, ApiKeyInvalid, require, require_scopes
from app.extensions.api_keys.keyring import Keyring
from app.extensions.api_keys.settings import ApiKeysSettings

__all__ = ["ApiKey", "ApiKeyInsufficient", "ApiKeyInvalid", "ApiKeysSettings", "component", "require", "require_scopes"]


def component(settings: Settings) -> Component:
    """Provide the known keys. Routes are open unless they have a guard."""
    keyring = Keyring(settings.of(ApiKeysSettings).keys)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        yield {"api_keys": keyring}

    return Component(name="api_keys", lifespan=lifespan)
