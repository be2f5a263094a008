"""Operators: the callers that may see how the service does."""

from hmac import compare_digest
from ipaddress import ip_address

from fastapi import Request
from pydantic import SecretStr


def secret_matches(given: str, secret: SecretStr) -> bool:
    """Return whether the caller sent the secret, in a time that tells nothing about it."""
    return compare_digest(given.encode(), secret.get_secret_value().encode())


def is_near(request: Request) -> bool:
    """Return whether a request came straight from a private address.

    One that came through a proxy shows the address of the proxy if that is not trusted, which proves nothing.
    """
    if "x-forwarded-for" in request.headers or "forwarded" in request.headers:
        return False
    try:
        address = ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    # ::ffff:8.8.8.8 is how a listener on :: calls 8.8.8.8; before Python 3.13 all of those are private.
    return (getattr(address, "ipv4_mapped", None) or address).is_private
