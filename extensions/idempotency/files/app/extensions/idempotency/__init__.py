"""Idempotency keys: a repeated request is processed once."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError
from starlette.middleware import Middleware

from app.core.component import Component, State
from app.core.errors import ServiceError
from app.core.settings import Settings
from app.extensions.idempotency.middleware import Idempotency
from app.extensions.idempotency.settings import (
    AnswerNotKept,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    IdempotencySettings,
    RequestInProgress,
)
from app.extensions.idempotency.store import KeyStore

__all__ = [
    "AnswerNotKept",
    "IdempotencyKeyInvalid",
    "IdempotencyKeyReused",
    "IdempotencySettings",
    "RequestInProgress",
    "component",
]

logger = logging.getLogger(__name__)


def component(settings: Settings) -> Component:
    """Process keys, and remove expired ones."""
    mine = settings.of(IdempotencySettings)
    if not mine.paths:
        return Component(name="idempotency")

    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        store = KeyStore(state["database"])
        await store.prepare()
        cleaning = asyncio.create_task(clean(store, mine.cleanup_interval))
        yield {}
        cleaning.cancel()

    return Component(name="idempotency", middleware=[Middleware(Idempotency, mine)], lifespan=lifespan)


async def clean(store: KeyStore, pause: float) -> None:
    while True:
        await asyncio.sleep(pause * random.uniform(0.75, 1.25))  # noqa: S311  # so that not all processes do it at once
        try:
            await store.remove_old()
        except (ServiceError, SQLAlchemyError) as error:
            logger.warning("expired idempotency keys could not be removed: %r", error)
