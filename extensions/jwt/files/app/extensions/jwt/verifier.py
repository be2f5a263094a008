"""The check of a token: signature, algorithm, audience, issuer, times and subject."""

import json
from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import Protocol

import jwt
from jwt import PyJWK
from jwt.types import Options

from app.extensions.jwt.errors import TokenRefused
from app.extensions.jwt.settings import JwtSettings
from app.extensions.jwt.user import User, from_claims

LONGEST = 16_384
"""Characters of a token; what is longer is not even parsed."""

_ODD = (ValueError, TypeError, AttributeError, RecursionError)
"""What a token that is no text of a token raises, before pyjwt sees it or in it."""


class Keys(Protocol):
    """Where the key that a token names comes from."""

    async def find(self, kid: str | None) -> PyJWK | str | None:
        """The key, or nothing where there is none of this id."""


class SharedSecret:
    """The one key that the service and who makes its tokens share."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def find(self, kid: str | None) -> str:
        """The secret, whatever the token calls it."""
        del kid
        return self._secret


@lru_cache(maxsize=64)
def _kid(header: str) -> str | None:
    """The key that a header names. There is one header for each key, and pyjwt takes 50 µs to read it."""
    kid = json.loads(urlsafe_b64decode(header + "==")).get("kid")
    return kid if isinstance(kid, str) else None


class Verifier:
    """Checks tokens by the settings (RFC 8725 is the list of what can go wrong)."""

    def __init__(self, settings: JwtSettings, keys: Keys) -> None:
        self._settings = settings
        self._keys = keys
        required = ["exp", "sub", *(["iss"] if settings.issuer else []), *(["aud"] if settings.audience else [])]
        self._options: Options = {"require": required, "verify_sub": False, "enforce_minimum_key_length": True}

    async def verify(self, token: str) -> User:
        """Who the token speaks for.

        Raises:
            TokenRefused: it proves nothing.
            KeysUnavailable: the issuer has not handed over its keys yet.
        """
        if len(token) > LONGEST:
            raise TokenRefused("too long")
        try:
            key = await self._keys.find(_kid(token.partition(".")[0]))
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
        except (jwt.PyJWTError, *_ODD) as error:
            raise TokenRefused(type(error).__name__) from error
