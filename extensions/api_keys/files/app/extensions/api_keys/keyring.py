"""Keys: created and shown once. The stored form does not reveal them."""

import secrets
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

from app.extensions.api_keys.settings import StoredKey

_NO_KEY = secrets.token_bytes(32)
"""The digest for unknown ids, so that these take as long as known ones."""


class KeyRefused(Exception):
    """The key is refused. `reason` and `client` are for the log only."""

    def __init__(self, reason: str, client: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.client = client


class Keyring:
    """The keys of the service by their public part."""

    def __init__(self, keys: Iterable[StoredKey]) -> None:
        self._known = {key.id: (key, bytes.fromhex(key.sha256)) for key in keys}

    def find(self, given: str) -> StoredKey:
        """Return the stored form of a key in constant time, or raise `KeyRefused`."""
        key, digest = self._known.get(given.partition(".")[0], (None, _NO_KEY))
        right = compare_digest(sha256(given.encode()).digest(), digest)
        if key is None:
            raise KeyRefused("unknown")
        if not right:
            raise KeyRefused("wrong", key.client)
        if key.expired:
            raise KeyRefused("expired", key.client)
        return key


def make(client: str, scopes: Iterable[str] = (), expires: datetime | None = None) -> tuple[str, StoredKey]:
    """Return a new key and its stored form. The key has 256 random bits, so a fast hash is enough."""
    identifier = f"ak_{secrets.token_hex(6)}"
    key = f"{identifier}.{secrets.token_urlsafe(32)}"
    digest = sha256(key.encode()).hexdigest()
    return key, StoredKey(client=client, id=identifier, sha256=digest, scopes=tuple(sorted(scopes)), expires=expires)
