"""The middleware: requests of unsafe methods that have an Idempotency-Key."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from app.core import context
from app.core.http.endpoints import SAFE
from app.extensions.idempotency.errors import IdempotencyKeyInvalid
from app.extensions.idempotency.exchange import Exchange
from app.extensions.idempotency.settings import IdempotencySettings
from app.extensions.idempotency.store import Store

_KEY = re.compile(rb"[\x21-\x7e]{1,255}")


class Idempotency:
    """Plain ASGI (https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07)."""

    def __init__(self, app: ASGIApp, settings: IdempotencySettings) -> None:
        self.app = app
        self.settings = settings
        self.below = tuple(f"{path.rstrip('/')}/" for path in settings.paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request.

        Raises:
            IdempotencyKeyInvalid: the key cannot be read.
        """
        request = context.current()
        key = None
        if scope["type"] == "http" and scope["method"] not in SAFE and scope["path"].startswith(self.below):
            key = next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
        if key is None or request is None:
            await self.app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            raise IdempotencyKeyInvalid
        store = Store(scope["state"]["database"])
        exchange = Exchange(self.settings, store, request, key.decode(), scope, receive, send)
        request.around = exchange.around
        try:
            await self.app(scope, exchange.receive, exchange.send)
        finally:
            await exchange.abandon()
