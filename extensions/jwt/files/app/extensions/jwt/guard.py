"""The guard of routes: `CurrentUser` is the caller, `require_scopes("notes:write")` requires scopes."""

import asyncio
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Security, WebSocket, WebSocketDisconnect
from fastapi.openapi.models import HTTPBearer
from fastapi.requests import HTTPConnection
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.types import Message

from app.core import context
from app.core.telemetry import SecurityEvent, emit
from app.extensions.jwt.settings import ScopeInsufficient, TokenInvalid, TokenMissing, TokenRefused, User

if TYPE_CHECKING:
    from app.extensions.jwt.verifier import Verifier

PATIENCE = 10.0
"""Seconds that a WebSocket may take to send its token."""

_INVALID = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class BearerToken(SecurityBase):
    """The one dependency behind both: each further one costs 9 µs a request."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="A token of the issuer that this service trusts.")
        self.scheme_name = "Bearer"

    async def __call__(self, request: HTTPConnection, wanted: SecurityScopes) -> User:
        """Return the user of the request's token, and make it the principal of the request."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return await authenticate(request, token if scheme.lower() == "bearer" else "", *wanted.scopes)


async def authenticate(connection: HTTPConnection, token: str, *scopes: str) -> User:
    """Return the user of a token that is in no header, such as the first message of a WebSocket.

    Raises:
        TokenMissing: the token is empty.
        TokenInvalid: it is wrong or has expired.
        ScopeInsufficient: it lacks one of the scopes.
    """
    token = token.strip()
    if not token:
        emit(SecurityEvent("authentication_failed", reason="no token"))
        raise TokenMissing(headers={"WWW-Authenticate": "Bearer"})
    verifier: Verifier | None = connection.state.jwt
    if verifier is None:
        emit(SecurityEvent("authentication_failed", reason="no issuer is configured"))
        raise TokenInvalid(headers=_INVALID)
    try:
        user = await verifier.verify(token)
    except TokenRefused as refused:
        emit(SecurityEvent("authentication_failed", reason=str(refused)))
        raise TokenInvalid(headers=_INVALID) from None
    if current := context.current():
        current.principal = f"user:{user.subject}"
    if missing := [scope for scope in scopes if scope not in user.scopes]:
        emit(SecurityEvent("permission_denied", user.subject, f"lacks {' '.join(missing)}"))
        needed = " ".join(scopes)
        challenge = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{needed}"'}
        raise ScopeInsufficient(f"this needs a token with the scope {needed}", headers=challenge)
    return user


async def authenticate_first_message(websocket: WebSocket, *scopes: str) -> User:
    """Return the user of the token that an accepted WebSocket sends first: browsers send it in no header.

    Raises:
        TokenMissing: no text has come within 10 seconds. Other errors are those of `authenticate`.
        WebSocketDisconnect: the client has left.
    """
    message: Message = {"type": "websocket.receive"}
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            message = await websocket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message["code"], message.get("reason"))
    return await authenticate(websocket, message.get("text") or "", *scopes)


_token = BearerToken()

CurrentUser = Annotated[User, Security(_token)]
"""The caller: `async def read(user: CurrentUser)`."""


def require_scopes(*scopes: str) -> Any:
    """Require a token with all of these scopes: `dependencies=[require_scopes("notes:write")]` of a route or router."""
    return Security(_token, scopes=scopes)


def require_scope(*scopes: str) -> Any:
    """Do the same under the name of releases up to 0.3, which works until 0.6."""
    warnings.warn(
        "app.extensions.jwt.require_scope is now require_scopes: change the name", DeprecationWarning, stacklevel=2
    )
    return require_scopes(*scopes)
