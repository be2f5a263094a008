"""The check of a token: signature, algorithm, audience, issuer, times and subject."""

import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from functools import lru_cache
from typing import Any

import jwt
from jwt import PyJWK
from jwt.types import Options

from app.core.component import Check, Component, State
from app.extensions.jwt.keys import RemoteKeys
from app.extensions.jwt.settings import JwtSettings, TokenRefused, User, from_claims

LONGEST = 16_384
"""The most characters of a token; a longer one is not parsed."""

_MALFORMED = (ValueError, TypeError, AttributeError, RecursionError)
"""Errors of malformed tokens, before pyjwt or in it."""


FindKey = Callable[[str | None], Awaitable[PyJWK | str | None]]
"""Returns the key of an id, or None."""


@lru_cache(maxsize=64)
def _kid(header: str) -> str | None:
    """Return the key id of a header. There is one header for each key, and pyjwt takes 50 µs to read it."""
    kid = json.loads(urlsafe_b64decode(header + "==")).get("kid")
    return kid if isinstance(kid, str) else None


class Verifier:
    """Checks tokens by the settings (RFC 8725 is the list of what can go wrong)."""

    def __init__(self, settings: JwtSettings, find_key: FindKey) -> None:
        self._settings = settings
        self._find_key = find_key
        required = ["exp", "sub", *(["iss"] if settings.issuer else []), *(["aud"] if settings.audience else [])]
        self._options: Options = {"require": required, "verify_sub": False, "enforce_minimum_key_length": True}

    async def verify(self, token: str) -> User:
        """Return the user of the token, or raise `TokenRefused`, or `KeysUnavailable` if no key is known yet."""
        if len(token) > LONGEST:
            raise TokenRefused("too long")
        try:
            key = await self._find_key(_kid(token.partition(".")[0]))
            if key is None:
                raise TokenRefused("unknown key")
            claims = jwt.decode(
                token,
                key,
                algorithms=self._settings.allowed,
                options=self._options,
                audience=self._settings.audience or None,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway,
            )
            return from_claims(claims)
        except (jwt.PyJWTError, *_MALFORMED) as error:
            raise TokenRefused(type(error).__name__) from error


def trusting(settings: JwtSettings) -> Component:
    secret = settings.secret
    keys = RemoteKeys(settings)

    async def the_secret(_: str | None) -> str | None:
        return secret.get_secret_value() if secret else None

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        async with nullcontext() if secret else keys.kept_fresh():
            yield {"jwt": Verifier(settings, the_secret if secret else keys.find)}

    async def probe(_: State) -> Mapping[str, Any]:
        if keys.failed:
            raise keys.failed
        return {"keys": len(keys)}

    # Not critical: without the issuer the known keys are used, and routes without a guard work.
    checks = [] if secret else [Check(name="jwt", probe=probe, critical=False)]
    return Component(name="jwt", lifespan=lifespan, checks=checks)
