"""Bearer tokens: users sign in with a JWT. Import `CurrentUser` and `require_scope` from here."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.component import Component, State
from app.core.settings import Settings
from app.extensions.jwt.guard import CurrentUser, Distrust, require_scope
from app.extensions.jwt.settings import JwtSettings
from app.extensions.jwt.user import User

__all__ = ["CurrentUser", "JwtSettings", "User", "component", "require_scope"]

logger = logging.getLogger(__name__)


def component(settings: Settings) -> Component:
    """Hands the verifier to the guard, and keeps the issuer's keys fresh. Routes are open until they ask for a user."""
    mine = settings.of(JwtSettings)
    if not mine.secret and not mine.remote:
        return Component(name="jwt", lifespan=_refuse_all)
    from app.extensions.jwt.trust import trusting  # pyjwt and cryptography take 60 ms that an unused option saves

    return trusting(mine)


@asynccontextmanager
async def _refuse_all(_: State) -> AsyncIterator[State]:
    logger.warning("neither JWT__SECRET nor JWT__ISSUER is set: every token is refused")
    yield {"jwt": Distrust()}
