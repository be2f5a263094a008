"""What can be wrong with a token, as RFC 6750 has it said."""

from collections.abc import Sequence

from app.core.errors import AuthenticationFailed, PermissionDenied, ServiceUnavailable


class TokenMissing(AuthenticationFailed):
    """The request has no bearer token."""

    message = "send a bearer token in the Authorization header"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": "Bearer"})


class TokenInvalid(AuthenticationFailed):
    """The token is expired, forged, or for another audience."""

    message = "the bearer token is not valid"

    def __init__(self) -> None:
        super().__init__(headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class ScopeInsufficient(PermissionDenied):
    """The token lacks the scope."""

    message = "this token does not open this"

    def __init__(self, scopes: Sequence[str]) -> None:
        needed = " ".join(scopes)
        challenge = f'Bearer error="insufficient_scope", scope="{needed}"'
        super().__init__(f"this needs a token with the scope {needed}", headers={"WWW-Authenticate": challenge})


class KeysUnavailable(ServiceUnavailable):
    """The issuer's keys are not available yet."""

    message = "tokens cannot be checked right now, try again"


class TokenRefused(Exception):
    """The token proves nothing. `reason` is for the log: the caller is not told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
