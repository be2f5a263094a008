"""The guard of routes: `CurrentUser` gives who calls, `require_scope("notes:write")` asks for more."""

from typing import Annotated, Any, Protocol

from fastapi import Request, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase

from app.core import context
from app.core.telemetry import SecurityEvent, emit
from app.extensions.jwt.errors import ScopeInsufficient, TokenInvalid, TokenMissing, TokenRefused
from app.extensions.jwt.user import User


class Verifier(Protocol):
    """Checks tokens."""

    async def verify(self, token: str) -> User:
        """Who the token speaks for, or `TokenRefused`."""


class Distrust:
    """The verifier of a service that is told of no issuer."""

    async def verify(self, token: str) -> User:
        """Refuse every token."""
        del token
        raise TokenRefused("no issuer is configured")


class BearerToken(SecurityBase):
    """The dependency behind both: one, since each further one costs 9 µs a request."""

    def __init__(self) -> None:
        self.model = HTTPBearer(bearerFormat="JWT", description="A token of the issuer that this service trusts.")
        self.scheme_name = "Bearer"

    async def __call__(self, request: Request, wanted: SecurityScopes) -> User:
        """The user of the token that the request came with, who is then who the request comes from.

        Raises:
            TokenMissing: there is none.
            TokenInvalid: it proves nothing.
            ScopeInsufficient: it lacks a scope.
            KeysUnavailable: the issuer has not handed over its keys yet.
        """
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            emit(SecurityEvent("authentication_failed", reason="no token"))
            raise TokenMissing
        verifier: Verifier = request.state.jwt
        try:
            user = await verifier.verify(token.strip())
        except TokenRefused as refused:
            emit(SecurityEvent("authentication_failed", reason=refused.reason))
            raise TokenInvalid from None
        if current := context.current():
            current.principal = f"user:{user.subject}"
        if missing := [scope for scope in wanted.scopes if scope not in user.scopes]:
            emit(SecurityEvent("permission_denied", user.subject, f"lacks {' '.join(missing)}"))
            raise ScopeInsufficient(wanted.scopes)
        return user


_token = BearerToken()

CurrentUser = Annotated[User, Security(_token)]
"""Who the request comes from: `async def read(user: CurrentUser)`."""


def require_scope(*scopes: str) -> Any:
    """A token with all of these scopes: `dependencies=[require_scope("notes:write")]` of a route or a router."""
    return Security(_token, scopes=scopes)
