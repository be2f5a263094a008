"""The middleware: a request of an unsafe method with an Idempotency-Key is processed once, and its answer is stored."""

import hashlib
import json
import logging
import os
import re
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from typing import Any

from anyio import from_thread
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core import context
from app.core.context import RequestContext
from app.core.errors import ServiceError
from app.extensions.idempotency.fingerprint import Fingerprint
from app.extensions.idempotency.settings import (
    AnswerNotKept,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    IdempotencySettings,
    RequestInProgress,
)
from app.extensions.idempotency.store import Answer, Claim, KeyStore

logger = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""
DROPPED = frozenset({b"set-cookie", b"connection", b"transfer-encoding", b"content-length", b"date"})
"""Headers that are new for each answer, or secret."""
NOT_KEPT = Answer(None, (), b"")
MOMENTARY = frozenset({409, 412, 423, 425, 428, 429})
"""Refusals of the moment: if nothing was committed, a repetition may succeed."""
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_WRAPPED = "__answered_once__"
_current: ContextVar["KeyedRequest | None"] = ContextVar("keyed_request", default=None)


class Idempotency:
    """Plain ASGI (https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header-07)."""

    def __init__(self, app: ASGIApp, settings: IdempotencySettings) -> None:
        self.app = app
        self.settings = settings
        self.below = tuple(f"{path.rstrip('/')}/" for path in settings.paths)
        self._wrapped = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or raise `IdempotencyKeyInvalid`."""
        request = context.current()
        key = None
        if scope["type"] == "http" and request and request.method not in SAFE and request.path.startswith(self.below):
            key = next((value for name, value in scope["headers"] if name == b"idempotency-key"), None)
        if key is None or request is None:
            await self.app(scope, receive, send)
            return
        if not _KEY.fullmatch(key):
            raise IdempotencyKeyInvalid
        if not self._wrapped:
            wrap_endpoints(scope["app"])
            self._wrapped = True
        keyed = KeyedRequest(self.settings, request, key.decode(), scope, receive, send)
        token = _current.set(keyed)
        try:
            await self.app(scope, keyed.receive, keyed.send)
        finally:
            _current.reset(token)
            await keyed.abandon()


def wrap_endpoints(app: FastAPI) -> None:
    """Let the endpoints of unsafe methods look for a stored answer: after all dependencies, so after authentication.

    FastAPI has no hook between the dependencies and the endpoint: it calls `dependant.call`.
    """
    for route in iter_route_contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        if dependant is not None and not SAFE.issuperset(route.methods or ()):
            dependant.call = _answered_once(dependant.call)


def _answered_once(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    streams = isasyncgenfunction(endpoint) or isgeneratorfunction(endpoint)  # a stream is not stored
    if streams or getattr(endpoint, _WRAPPED, False):
        return endpoint

    @wraps(endpoint)
    async def run(**values: Any) -> Any:
        keyed = _current.get()
        stored = await keyed.begin() if keyed else None
        return await endpoint(**values) if stored is None else stored

    @wraps(endpoint)
    def run_in_thread(**values: Any) -> Any:
        keyed = _current.get()
        stored = from_thread.run(keyed.begin) if keyed else None
        return endpoint(**values) if stored is None else stored

    waits = iscoroutinefunction(endpoint) or iscoroutinefunction(type(endpoint).__call__)
    wrapped = run if waits else run_in_thread
    setattr(wrapped, _WRAPPED, True)
    return wrapped


class KeyedRequest:
    """A request with a key, and its answer."""

    def __init__(
        self,
        settings: IdempotencySettings,
        request: RequestContext,
        key: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._settings = settings
        self._store = KeyStore(scope["state"]["database"])
        self._request = request
        self._key = key
        self._receive = receive
        self._send = send
        self._ordinary_limit = request.body_limit
        self._fingerprint = Fingerprint(scope, settings.headers)
        self._whole = False
        self._ahead: deque[Message] = deque()
        self._claim: Claim | None = None
        self._held: list[Message] = []
        self._size = 0

    async def receive(self) -> Message:
        """Receive more of the body, and add it to the fingerprint."""
        if self._ahead:
            return self._ahead.popleft()
        message = await self._receive()
        self._fingerprint.update(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    async def begin(self) -> Response | None:
        """Return the stored answer, or None if the endpoint has to run.

        Raises:
            IdempotencyKeyReused: the first request was another one.
            RequestInProgress: the first request has no answer yet.
            AnswerNotKept: the first request was processed, and its answer is lost.
        """
        request = self._request
        if not self._whole and request.body_limit != self._ordinary_limit:  # too large for memory
            return None
        await self._read_whole()
        who = ("principal", request.principal) if request.principal else ("address", request.client)
        parts = (*who, request.method, request.path, self._key)
        claim = Claim(hashlib.sha256(json.dumps(parts).encode()).hexdigest(), os.urandom(16).hex())
        fingerprint, former = self._fingerprint.digest(), self._fingerprint.former
        record = await self._store.claim(
            claim, fingerprint, former=former, lease=self._settings.lease, keep=self._settings.keep
        )
        if record is None:
            self._claim = claim
            self._request.before_commit.append(self._mark)
            return None
        if record.fingerprint not in {fingerprint, former}:
            raise IdempotencyKeyReused
        answer = record.answer
        if answer.status is None:
            raise RequestInProgress(headers={"Retry-After": "1"}) if record.running else AnswerNotKept
        response = Response(answer.body, status_code=answer.status)
        response.raw_headers += [*answer.headers, (b"idempotency-replayed", b"true")]
        return response

    async def send(self, message: Message) -> None:
        """Hold the answer until it is complete and stored. Without a claim, pass it on."""
        if self._claim is None:
            await self._send(message)
            return
        self._held.append(message)
        self._size += len(message.get("body", b""))
        if self._held[0]["status"] >= 500:
            await self._settle(self._store.release(self._claim))
        elif self._size > self._settings.answer_limit:
            await self._settle(self._keep(self._claim, NOT_KEPT))
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            await self._settle(self._keep(self._claim, self._answer()))
        else:
            return
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    async def abandon(self) -> None:
        """Release the key if there is no answer."""
        if self._claim is not None:
            await self._settle(self._store.release(self._claim))

    async def _settle(self, work: Awaitable[None]) -> None:
        """Settle the claim. If that fails, its lease ends it, and the mark of a commit stays."""
        self._claim = None
        self._request.before_commit.remove(self._mark)
        try:
            await work
        except (ServiceError, SQLAlchemyError) as error:
            logger.warning("an answer could not be stored for its repetition: %r", error)

    async def _mark(self, session: AsyncSession) -> None:
        if self._claim is None or not await self._store.mark(self._claim, session):
            raise RequestInProgress  # it took so long that another request has the key

    async def _read_whole(self) -> None:
        """Read the rest of the body for an endpoint that reads it itself, up to the ordinary limit."""
        read: list[Message] = []
        while not self._whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            read.append(message)
        self._ahead.extend(read)

    async def _keep(self, claim: Claim, answer: Answer) -> None:
        await self._store.keep(claim, answer, if_done=self._held[0]["status"] in MOMENTARY)

    def _answer(self) -> Answer:
        start, *parts = self._held
        headers = [(name, value) for name, value in start["headers"] if name.lower() not in DROPPED]
        return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in parts))
