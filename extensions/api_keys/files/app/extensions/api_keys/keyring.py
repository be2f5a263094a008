"""Keys: made once and shown once; of what is stored, none can be made again."""

import secrets
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest

from app.extensions.api_keys.settings import StoredKey

_NOBODYS = secrets.token_bytes(32)
"""What an unknown id is compared with: it takes as long as a known one."""


class KeyRefused(Exception):
    """The key opens nothing. `reason` and `client` are for the log: the caller is told neither."""

    def __init__(self, reason: str, client: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.client = client


class Keyring:
    """The keys that the service knows, by the part of them that is no secret."""

    def __init__(self, keys: Iterable[StoredKey]) -> None:
        self._known = {key.id: (key, bytes.fromhex(key.sha256)) for key in keys}

    def find(self, given: str) -> StoredKey:
        """The stored key that belongs to what a caller sent, in a time that tells nothing of which part was wrong.

        Raises:
            KeyRefused: there is none, it is another one, or its time is over.
        """
        key, digest = self._known.get(given.partition(".")[0], (None, _NOBODYS))
        right = compare_digest(sha256(given.encode()).digest(), digest)
        if key is None:
            raise KeyRefused("unknown")
        if not right:
            raise KeyRefused("wrong", key.client)
        if key.expired:
            raise KeyRefused("expired", key.client)
        return key


def make(client: str, scopes: Iterable[str] = (), expires: datetime | None = None) -> tuple[str, StoredKey]:
    """A new key, and what the service stores of it.

    Its secret part has 256 random bits, so nobody finds it by trying: a slow hash, made for passwords, would only cost.
    """
    identifier = f"ak_{secrets.token_hex(6)}"
    key = f"{identifier}.{secrets.token_urlsafe(32)}"
    digest = sha256(key.encode()).hexdigest()
    return key, StoredKey(client=client, id=identifier, sha256=digest, scopes=tuple(sorted(scopes)), expires=expires)
