"""Callers: who may see what is meant for operators alone."""

from hmac import compare_digest
from ipaddress import ip_address

from fastapi import Request
from pydantic import SecretStr


def knows(given: str, secret: SecretStr) -> bool:
    """Whether what the caller sent is the secret, in a time that tells nothing about it."""
    return compare_digest(given.encode(), secret.get_secret_value().encode())


def is_near(request: Request) -> bool:
    """Whether it came straight from a private address.

    What came through a proxy shows the proxy's address where its word is not trusted: that proves nothing.
    """
    proxied = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    return not proxied and _is_private(request.client.host if request.client else "")


def _is_private(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    # ::ffff:8.8.8.8 is what a listener on :: calls 8.8.8.8; before Python 3.13 all of those are private.
    return (getattr(address, "ipv4_mapped", None) or address).is_private
