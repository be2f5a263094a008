"""The issuer's public keys: fetched in the background, so that no request waits while some are known."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any

import httpx2
from jwt import PyJWK, PyJWTError

from app.extensions.jwt.settings import JwtSettings, KeysUnavailable

logger = logging.getLogger(__name__)

COOLDOWN = 10.0
"""Seconds between two fetches for tokens with unknown keys, and between two attempts after a failure."""
LARGEST = 262_144
"""The most bytes of a document: an issuer has a few keys of half a kilobyte."""


class KeysRefused(Exception):
    """The answer of the issuer is not a set of keys."""


class RemoteKeys:
    """The keys of an issuer. Known keys are used until new ones are fetched."""

    def __init__(self, settings: JwtSettings) -> None:
        self.settings = settings
        self._client: httpx2.AsyncClient
        self._known: dict[str, PyJWK] = {}
        self._fetching: asyncio.Task[None] | None = None
        self._asked = float("-inf")
        self.failed: Exception | None = None
        """The error of the last fetch."""

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, kid: str | None) -> PyJWK | None:
        """Return the key of this id, and fetch the keys again for an unknown one, at most once in 10 s."""
        key = self._choose(kid)
        if key is None and (self._fetching or monotonic() - self._asked >= COOLDOWN):
            self._asked = monotonic() if self._fetching is None else self._asked
            await self.fetch()
            key = self._choose(kid)
        if key is None and not self._known:
            raise KeysUnavailable
        return key

    async def fetch(self) -> None:
        """Fetch the keys, once for all concurrent callers. A failure only changes `failed`."""
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    @asynccontextmanager
    async def kept_fresh(self) -> AsyncIterator[None]:
        """Fetch the keys periodically while the service is open."""
        async with httpx2.AsyncClient() as self._client:  # one: to create it takes 30 ms
            self._fetching = asyncio.create_task(self._fetch())  # at once: the first requests join it
            task = asyncio.create_task(self._keep_fresh())
            try:
                yield
            finally:
                for running in filter(None, (task, self._fetching)):
                    running.cancel()
                    with suppress(asyncio.CancelledError):
                        await running

    def _choose(self, kid: str | None) -> PyJWK | None:
        if kid is None and len(self._known) == 1:
            return next(iter(self._known.values()))
        return self._known.get(kid or "")

    async def _keep_fresh(self) -> None:
        while True:
            await self.fetch()
            pause = self.settings.refresh_interval
            await asyncio.sleep(min(COOLDOWN, pause) if self.failed else pause)

    async def _fetch(self) -> None:
        try:
            self._known = await self._load()
            if self.failed:
                logger.info("the issuer's keys can be fetched again")
            self.failed = None
        except Exception as error:
            if not self.failed:  # once for each outage
                message = "the issuer's keys cannot be fetched, %d known ones are used: %r"
                logger.warning(message, len(self), error, exc_info=error)
            self.failed = error
        finally:
            self._fetching = None

    async def _load(self) -> dict[str, PyJWK]:
        async with asyncio.timeout(self.settings.timeout):
            url = self.settings.jwks_url or await self._discovered()
            keys = (await self._document(url)).get("keys")
        usable = _usable(keys if isinstance(keys, list) else [], self.settings.allowed)
        if not usable:
            raise KeysRefused(f"{url} has no key for {', '.join(self.settings.allowed)}")
        return usable

    async def _discovered(self) -> str:
        """https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfig"""
        issuer = str(self.settings.issuer)
        document = await self._document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        url = document.get("jwks_uri")
        if document.get("issuer") != issuer:
            raise KeysRefused(f"the discovery document of {issuer} is one of another issuer")
        if not isinstance(url, str) or not url.startswith("https://" if issuer.startswith("https://") else "http"):
            raise KeysRefused(f"the discovery document of {issuer} has no valid jwks_uri")
        return url

    async def _document(self, url: str) -> Mapping[str, Any]:
        content = b""
        async with self._client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.status_code != httpx2.codes.OK:
                raise KeysRefused(f"{url} answered {answer.status_code}")
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > LARGEST:
                    raise KeysRefused(f"{url} answered more than {LARGEST} bytes")
        try:
            document = json.loads(content)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise KeysRefused(f"{url} did not answer a JSON object")
        return document


def _usable(listed: Iterable[object], allowed: Iterable[str]) -> dict[str, PyJWK]:
    """Return the signing keys of the accepted algorithms. A symmetric key in a public document is not secret."""
    found = {}
    for entry in listed:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        with suppress(PyJWTError, ValueError, TypeError, AttributeError):
            key = PyJWK(entry)
            if key.algorithm_name in allowed:
                found[str(entry.get("kid", ""))] = key
    return found
