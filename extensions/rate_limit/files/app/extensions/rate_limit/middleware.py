"""The middleware: counts each request for its caller, and refuses requests above the limit."""

from contextlib import suppress
from functools import lru_cache, partial
from hashlib import blake2b
from ipaddress import IPv6Address, IPv6Network
from math import ceil
from secrets import token_bytes
from time import time
from typing import NoReturn

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core import context, telemetry
from app.core.context import RequestContext
from app.core.data.redis_client import BackendUnavailable
from app.core.errors import RateLimited
from app.extensions.rate_limit.routes import Routes
from app.extensions.rate_limit.settings import RateLimitSettings
from app.extensions.rate_limit.windows import Limit, LocalCounters, SharedCounters, Verdict
from app.extensions.rate_limit.windows import limit as limit_of

CREDENTIALS = (b"authorization", b"x-api-key")
PROOF = {"user": b"authorization", "key": b"x-api-key"}
"""The header that proves a principal of each kind: `user:ada`, `key:billing`."""
KNOWN = 10_000
"""The most credentials whose owner is stored."""


class CredentialCache:
    """The owners of valid credentials, learned from authentication, which runs after the middleware."""

    def __init__(self) -> None:
        self.names: dict[bytes, str] = {}
        """By digest: the credentials themselves are not stored."""
        self._secret = token_bytes(32)

    def digests(self, headers: list[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
        """Return a digest of the first value of each header, as guards read it: more spaces make no new one."""
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in CREDENTIALS and name not in found:
                if name == b"authorization":
                    scheme, _, token = value.partition(b" ")
                    value = scheme.lower() + b" " + token.strip()
                found[name] = blake2b(value, key=self._secret, person=name, digest_size=16).digest()
        return found

    def owner(self, digests: dict[bytes, bytes]) -> str | None:
        """Return the owner of any of them: other headers may be junk."""
        for digest in digests.values():
            if digest in self.names:
                return self.names[digest]
        return None

    def learn(self, digests: dict[bytes, bytes], principal: str) -> None:
        """Store those that prove this principal: all of them, if its kind is unknown."""
        proof = PROOF.get(principal.partition(":")[0], b"")
        proven = [digests[proof]] if proof in digests else list(digests.values())
        if any(self.names.get(digest) == principal for digest in proven):
            return
        if len(self.names) + len(proven) > KNOWN:
            self.names.clear()
        self.names.update(dict.fromkeys(proven, principal))

    def forget(self, digests: dict[bytes, bytes]) -> None:
        for digest in digests.values():
            self.names.pop(digest, None)


class RateLimit:
    """Plain ASGI. A request counts for the owner of its credentials, and without valid ones for its address.

    The first request with new credentials counts for both. So forged credentials are limited by address, and valid ones
    are not, even if many callers share an address. An owner above its limit is refused with new credentials too, as
    soon as it is authenticated.
    """

    def __init__(self, app: ASGIApp, settings: RateLimitSettings, shared: SharedCounters | None) -> None:
        self.app = app
        self.shared = shared
        self.memory = LocalCounters(settings.clients)
        self.limit = limit_of(settings.per_minute, settings.per_hour)
        self.exempt = frozenset(settings.exempt)
        self.below = tuple(path[:-1] for path in settings.exempt if path.endswith("/*"))
        self.over: dict[str, float] = {}
        """The owners above their limit, as new credentials have shown, and when they may call again."""
        self.credentials = CredentialCache()
        self.routes: Routes | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or raise `RateLimited`."""
        request = context.current()
        if request is None or scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        path = request.path  # without HTTP__ROOT_PATH
        if path in self.exempt or path.startswith(self.below):
            await self.app(scope, receive, send)
            return
        limit, counted = self._of(scope, path)
        digests = self.credentials.digests(scope["headers"])
        owner = self.credentials.owner(digests) if digests else None
        if limit.windows:
            client = f"principal {owner}" if owner else f"address {network(request.client)}"
            await self._count(client + counted, limit, request)
            if digests:
                request.principal_checks += (partial(self._check, owner, counted, limit),)
        await self.app(scope, receive, send)
        if digests and request.principal:
            self.credentials.learn(digests, request.principal)
            if request.principal != owner and limit.windows:
                client = f"principal {request.principal}{counted}"
                if wait := (await self._hit(client, limit)).retry_after:
                    if len(self.over) > KNOWN:
                        self.over.clear()
                    self.over[client] = time() + wait
        elif digests and request.status == 401:  # other answers say nothing about them: an open route, a 404, a 405
            self.credentials.forget(digests)

    def _check(self, owner: str | None, counted: str, limit: Limit, principal: str) -> None:
        """Refuse an owner above its limit. The requests of one whose credentials were known are counted already."""
        client = f"principal {principal}{counted}"
        wait = self.over.get(client, 0.0) - time() if principal != owner else 0.0
        if wait > 0:
            self._refuse(client, limit, ceil(wait))

    @staticmethod
    def _refuse(client: str, limit: Limit, wait: int) -> NoReturn:
        telemetry.emit(telemetry.SecurityEvent("rate_limited", subject=client, reason=limit.policy))
        raise RateLimited(headers={"Retry-After": str(wait)})

    def _of(self, scope: Scope, path: str) -> tuple[Limit, str]:
        """Return the limit of a request, and the suffix of its counter."""
        if self.routes is None:
            self.routes = Routes(scope["app"].routes)
        own = self.routes.own_limit(scope.get("method"), path) if self.routes.marked else None
        return (own.limit, f" {own.template}") if own and own.limit else (self.limit, "")

    async def _count(self, client: str, limit: Limit, request: RequestContext) -> None:
        # Without a coroutine if nothing is shared: that costs as much as counting.
        verdict = self.memory.hit(client, limit) if self.shared is None else await self._hit(client, limit)
        request.headers += limit.headers[verdict.place]
        request.headers.append((b"ratelimit-remaining", b"%d" % verdict.remaining))
        request.headers.append((b"ratelimit-reset", b"%d" % verdict.reset))
        if verdict.retry_after:
            self._refuse(client, limit, verdict.retry_after)

    async def _hit(self, client: str, limit: Limit) -> Verdict:
        if self.shared is not None:
            with suppress(BackendUnavailable):
                return await self.shared.hit(client, limit)
        return self.memory.hit(client, limit)


@lru_cache(maxsize=10_000)
def network(address: str) -> str:
    """Return the address, or the /64 of an IPv6 address, which belongs to one caller. `::ffff:a.b.c.d` is IPv4."""
    if ":" not in address:
        return address
    try:
        whole = IPv6Address(address.partition("%")[0])
        return str(whole.ipv4_mapped or IPv6Network((whole, 64), strict=False))
    except ValueError:
        return address
