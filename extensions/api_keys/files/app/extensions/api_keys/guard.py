"""The guard of routes: `ApiKey` is the caller, `require_scopes("notes:write")` requires scopes."""

import warnings
from typing import Annotated, Any

from fastapi import Security
from fastapi.openapi.models import APIKey
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from app.core import context
from app.core.errors import AuthenticationFailed, PermissionDenied
from app.core.telemetry import SecurityEvent, emit
from app.extensions.api_keys.keyring import KeyRefused, Keyring
from app.extensions.api_keys.settings import StoredKey

HEADER = "X-API-Key"


class ApiKeyInvalid(AuthenticationFailed):
    """The key is missing or invalid."""

    code = "api_key_invalid"
    message = f"send a valid key as {HEADER}"


class ApiKeyInsufficient(PermissionDenied):
    code = "api_key_insufficient"
    message = "this key lacks a scope"


class KeyHeader(SecurityBase):
    """The one dependency behind both: each further one costs 9 µs a request."""

    def __init__(self) -> None:
        self.model = APIKey.model_validate({"in": "header", "name": HEADER, "description": "A key of a client."})
        self.scheme_name = "ApiKey"

    async def __call__(self, request: HTTPConnection, wanted: SecurityScopes) -> StoredKey:
        """Return the key of the request, and make its client the principal of the request."""
        keyring: Keyring = request.state.api_keys
        try:
            key = keyring.find(request.headers.get(HEADER, ""))
        except KeyRefused as refused:
            reason = refused.reason if HEADER in request.headers else "missing"
            emit(SecurityEvent("authentication_failed", refused.client, f"{reason} key"))
            raise ApiKeyInvalid(headers={"WWW-Authenticate": "ApiKey"}) from None
        if current := context.current():
            current.principal = f"key:{key.client}"
        if missing := [scope for scope in wanted.scopes if scope not in key.scopes]:
            emit(SecurityEvent("permission_denied", key.client, f"lacks {' '.join(missing)}"))
            raise ApiKeyInsufficient(f"this key lacks the scope {' '.join(missing)}")
        return key


_header = KeyHeader()

ApiKey = Annotated[StoredKey, Security(_header)]
"""The key of the caller: `async def read(key: ApiKey)`."""


def require_scopes(*scopes: str) -> Any:
    """Require a key with all of these scopes: `dependencies=[require_scopes("notes:write")]` of a route or router."""
    return Security(_header, scopes=scopes)


def require(*scopes: str) -> Any:
    """Do the same under the name of releases up to 0.3, which works until 0.6."""
    warnings.warn(
        "app.extensions.api_keys.require is now require_scopes: change the name", DeprecationWarning, stacklevel=2
    )
    return require_scopes(*scopes)
