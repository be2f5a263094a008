"""The settings of bearer tokens, the user of a token, and the errors of RFC 6750."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from app.core.errors import AuthenticationFailed, PermissionDenied, ServiceUnavailable
from app.core.settings import CommaSeparated, Group, Secret, address

SHARED = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The length of a secret in bytes for each algorithm (RFC 7518, 3.2)."""
PUBLIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")

Url = Annotated[str | None, address({"http", "https"}, "https://login.example.com/keys")]


class JwtSettings(Group):
    """The accepted tokens. With neither a secret nor an issuer every token is refused."""

    group: ClassVar[str] = "jwt"
    issuer: str | None = Field(None, description="The `iss` of tokens, and the address of OpenID Connect discovery.")
    jwks_url: Url = Field(None, description="The address of the issuer's keys; unset: by discovery.")
    secret: Secret | None = Field(None, description="The shared secret, at least 32 bytes, in place of an issuer.")
    audience: CommaSeparated = Field((), description="Accepted values of `aud`; required with an issuer.")
    algorithms: CommaSeparated = Field(
        (), description="Accepted algorithms; unset: HS256 with a secret, else RS256 and ES256."
    )
    leeway: float = Field(30.0, ge=0, le=300, description="Seconds by which clocks may differ.")
    refresh_interval: float = Field(300.0, gt=0, description="Seconds between two fetches of the issuer's keys.")
    timeout: float = Field(2.0, gt=0, le=10, description="Seconds for a fetch of the issuer's keys.")

    @property
    def allowed(self) -> tuple[str, ...]:
        """Return the accepted algorithms: never `none`, and never both kinds (RFC 8725, 3.1)."""
        return self.algorithms or (("HS256",) if self.secret else ("RS256", "ES256"))

    @property
    def remote(self) -> bool:
        return self.secret is None and self.issuer is not None

    @model_validator(mode="after")
    def _one_source_and_kind_of_keys(self) -> Self:
        if self.secret and self.jwks_url:
            raise ValueError("JWT__SECRET and JWT__JWKS_URL exclude each other: unset one of them")
        if self.secret and str(self.issuer).startswith("https://") and not self.algorithms:
            raise ValueError(
                "JWT__SECRET and JWT__ISSUER, an address, are both set: unset the secret to use the issuer's keys, "
                "or set JWT__ALGORITHMS to HS256 to use the secret"
            )
        if self.jwks_url and not self.issuer:
            raise ValueError("JWT__ISSUER is required with JWT__JWKS_URL: it is compared with the tokens' iss")
        if self.remote and not self.audience:
            raise ValueError("JWT__AUDIENCE is required: tokens for the issuer's other services would open this one")
        if self.remote and not self.jwks_url and not str(self.issuer).startswith(("https://", "http://")):
            raise ValueError("JWT__ISSUER is no URL, so its keys cannot be discovered: set JWT__JWKS_URL")
        known = SHARED if self.secret else PUBLIC
        if wrong := [name for name in self.allowed if name not in known]:
            kind = "a secret" if self.secret else "an issuer's keys"
            raise ValueError(f"JWT__ALGORITHMS has {', '.join(wrong)}: with {kind} there are {', '.join(known)}")
        if self.secret:
            needed = max(SHARED[name] for name in self.allowed)
            if len(self.secret.get_secret_value().encode()) < needed:
                raise ValueError(f"JWT__SECRET needs {needed} bytes for {', '.join(self.allowed)} (RFC 7518, 3.2)")
        return self


LONGEST_SUBJECT = 255
"""Characters (OpenID Connect Core, 2)."""


class ClaimsInvalid(ValueError):
    """The signature is valid, and the claims are not."""


@dataclass(frozen=True, slots=True)
class User:
    """The user of a verified token."""

    subject: str
    scopes: frozenset[str]
    claims: Mapping[str, Any]


def from_claims(claims: Mapping[str, Any]) -> User:
    """Return the user of these claims, or raise `ClaimsInvalid`. A `sub` that is a number becomes its digits."""
    subject = claims["sub"]
    if type(subject) is int:  # and no bool
        subject = str(subject)
    if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject.strip()) <= LONGEST_SUBJECT:
        raise ClaimsInvalid("sub is not a name")
    return User(subject, _scopes(claims.get("scope", claims.get("scp"))), claims)


def _scopes(value: object) -> frozenset[str]:
    """Return the scopes: `scope` of RFC 8693 is a text with spaces, `scp` of some issuers is a list."""
    listed = value.split() if isinstance(value, str) else value
    return frozenset(scope for scope in listed if isinstance(scope, str)) if isinstance(listed, list) else frozenset()


class TokenMissing(AuthenticationFailed):
    """The request has no bearer token."""

    code = "token_missing"
    message = "send a bearer token in the Authorization header"


class TokenInvalid(AuthenticationFailed):
    """The token is expired, forged, or for another audience."""

    code = "token_invalid"
    message = "the bearer token is not valid"


class ScopeInsufficient(PermissionDenied):
    code = "scope_insufficient"
    message = "this token lacks a scope"


class KeysUnavailable(ServiceUnavailable):
    """The issuer's keys are not available yet."""

    code = "keys_unavailable"
    message = "tokens cannot be checked right now, try again"


class TokenRefused(Exception):
    """The token is refused. Its text is for the log only."""
