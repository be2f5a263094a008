"""One request with a key: carried out once, and its answer kept before it is sent."""

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from app.core.context import RequestContext
from app.core.errors import ServiceError
from app.extensions.idempotency.errors import AnswerNotKept, IdempotencyKeyReused, RequestInProgress
from app.extensions.idempotency.fingerprint import Fingerprint
from app.extensions.idempotency.settings import IdempotencySettings
from app.extensions.idempotency.store import Answer, Claim, Record, Store

logger = logging.getLogger(__name__)

DROPPED = frozenset({b"set-cookie", b"connection", b"transfer-encoding", b"content-length", b"date"})
"""Headers that are made anew, or that are secrets."""
NOT_KEPT = Answer(None, (), b"")
MOMENTARY = frozenset({409, 412, 423, 425, 428, 429})
"""Refusals that say how things are right now: where nothing was committed, a repetition may fare better."""


class Exchange:
    """A request and its answer."""

    def __init__(
        self,
        settings: IdempotencySettings,
        store: Store,
        request: RequestContext,
        key: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._settings = settings
        self._store = store
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
        """More of the body, of which note is taken as it comes in."""
        if self._ahead:
            return self._ahead.popleft()
        message = await self._receive()
        self._fingerprint.update(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        return message

    async def around(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Call the endpoint, or answer as the first time. All dependencies are done, so it is known who asks.

        Raises:
            IdempotencyKeyReused: the first request was another one.
            RequestInProgress: the first request is not answered yet.
            AnswerNotKept: the first request was carried out, and its answer is lost.
        """
        request = self._request
        if not self._whole and request.body_limit != self._ordinary_limit:  # too large to be held here
            return await call()
        await self._read_whole()
        who = ("principal", request.principal) if request.principal else ("address", request.client)
        parts = (*who, request.method, request.path, self._key)
        claim = Claim(hashlib.sha256(json.dumps(parts).encode()).hexdigest(), os.urandom(16).hex())
        fingerprint, former = self._fingerprint.digest(), self._fingerprint.former
        record = await self._store.claim(
            claim, fingerprint, former=former, lease=self._settings.lease, keep=self._settings.keep
        )
        if record is not None:
            if record.fingerprint not in {fingerprint, former}:
                raise IdempotencyKeyReused
            return _again(record)
        self._claim = claim
        self._request.before_commit.append(self._mark)
        return await call()

    async def send(self, message: Message) -> None:
        """Hold the answer back until it is whole and kept. What is not kept is passed on as it comes."""
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
        """Give the key back where there will be no answer."""
        if self._claim is not None:
            await self._settle(self._store.release(self._claim))

    async def _settle(self, work: Awaitable[None]) -> None:
        """Do it; where that fails, the lease ends the claim, and what has been carried out stays noted."""
        self._claim = None
        self._request.before_commit.remove(self._mark)
        try:
            await work
        except (ServiceError, SQLAlchemyError) as error:
            logger.warning("an answer could not be kept for its repetition: %r", error)

    async def _mark(self, session: AsyncSession) -> None:
        if self._claim is None or not await self._store.mark(self._claim, session):
            raise RequestInProgress  # it took so long that somebody else does it now

    async def _read_whole(self) -> None:
        """Read what the endpoint reads by itself, and hold it for it: no more than the ordinary limit."""
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


def _again(record: Record) -> Response:
    answer = record.answer
    if answer.status is None:
        raise RequestInProgress(headers={"Retry-After": "1"}) if record.running else AnswerNotKept
    response = Response(answer.body, status_code=answer.status)
    response.raw_headers += [*answer.headers, (b"idempotency-replayed", b"true")]
    return response
