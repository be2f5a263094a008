"""Bearer tokens: users sign in with a JWT. Import `CurrentUser` and `require_scopes` from here."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.component import Component, State
from app.core.settings import Settings
from app.extensions.jwt.guard import (
    CurrentUser,
    authenticate,
    authenticate_first_message,
    require_scope,
    require_scopes,
)
from app.extensions.jwt.settings import JwtSettings, User

__all__ = [
    "CurrentUser",
    "JwtSettings",
    "User",
    "authenticate",
    "authenticate_first_message",
    "component",
    "require_scope",
    "require_scopes",
]

logger = logging.getLogger(__name__)


def component(settings: Settings) -> Component:
    """Provide the verifier, and keep the issuer's keys fresh. Routes are open unless they have a guard."""
    mine = settings.of(JwtSettings)
    if not mine.secret and not mine.remote:
        return Component(name="jwt", lifespan=_refuse_all)
    from app.extensions.jwt.verifier import trusting  # pyjwt and cryptography take 60 ms

    return trusting(mine)


@asynccontextmanager
async def _refuse_all(_: State) -> AsyncIterator[State]:
    logger.warning("neither JWT__SECRET nor JWT__ISSUER is set: every token is refused")
    yield {"jwt": None}
