"""Who a verified token speaks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

LONGEST_SUBJECT = 255
"""Characters (OpenID Connect Core, 2)."""


class ClaimsOdd(ValueError):
    """The signature is right, and the claims are not what a token should say."""


@dataclass(frozen=True, slots=True)
class User:
    """Who the request comes from, by a token that was verified."""

    subject: str
    scopes: frozenset[str]
    claims: Mapping[str, Any]


def from_claims(claims: Mapping[str, Any]) -> User:
    """The user of these claims. Some issuers write `sub` as a number: it is taken as its digits.

    Raises:
        ClaimsOdd: `sub` names nobody.
    """
    subject = claims["sub"]
    if type(subject) is int:  # and no bool
        subject = str(subject)
    if not isinstance(subject, str) or not subject.isprintable() or not 0 < len(subject.strip()) <= LONGEST_SUBJECT:
        raise ClaimsOdd("sub names nobody")
    return User(subject, _scopes(claims.get("scope", claims.get("scp"))), claims)


def _scopes(value: object) -> frozenset[str]:
    """`scope` of RFC 8693 is a text with spaces; `scp` of others may be a list."""
    listed = value.split() if isinstance(value, str) else value
    return frozenset(scope for scope in listed if isinstance(scope, str)) if isinstance(listed, list) else frozenset()
