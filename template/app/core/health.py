"""Health: liveness, readiness, and for operators the state of each part."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic, perf_counter
from typing import Annotated, Any, ClassVar, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from app.core.component import Check, Component, State
from app.core.errors import AuthenticationFailed, ServiceUnavailable
from app.core.http import problems
from app.core.http.lifecycle import Lifecycle
from app.core.http.security import is_near, secret_matches
from app.core.settings import Group, Secret
from app.core.telemetry import SecurityEvent, emit

logger = logging.getLogger(__name__)

FRESH = 0.25
"""Seconds for which a result is reused, however many ask."""
PROMPT = 0.7
"""Seconds in which readiness is answered: with `FRESH` an outage shows within the second that a probe usually waits."""


class HealthSettings(Group):
    """The access to the health of each part."""

    group: ClassVar[str] = "health"
    key: Secret | None = Field(None, description="The X-Health-Key that opens /health to any caller.")


class NotReady(ServiceUnavailable):
    """The service starts, stops, or lacks a critical part."""

    code = "not_ready"
    message = "the service is not ready"


class Liveness(BaseModel):
    """The answer of a probe."""

    status: Literal["ok"] = "ok"


class PartHealth(BaseModel):
    """The health of one part; `latency` in seconds."""

    status: Literal["ok", "failed"]
    critical: bool
    latency: float
    facts: Mapping[str, Any] = Field(default_factory=dict)


class ServiceHealth(BaseModel):
    """The health of the service and of each part."""

    status: Literal["ok", "degraded", "failed", "starting", "draining"]
    version: str
    parts: dict[str, PartHealth]


class Health:
    """Runs the checks in parallel, each with its time limit, one round at a time."""

    def __init__(self, checks: Sequence[Check]) -> None:
        self.checks = checks
        self._known: dict[str, PartHealth] = {}
        self._known_at = float("-inf")
        self._answered: dict[str, PartHealth] = {}
        """The results so far of the round that runs."""
        self._round: asyncio.Task[dict[str, PartHealth]] | None = None

    async def parts(self, state: State) -> dict[str, PartHealth]:
        """Return the health of every part, at most a quarter of a second old."""
        if monotonic() - self._known_at < FRESH:
            return self._known
        if self._round is None:
            self._round = asyncio.create_task(self._probe_all(state))
        return await asyncio.shield(self._round)

    async def failing(self, state: State) -> list[str]:
        """Return the critical parts that failed, or have not answered yet."""
        try:
            async with asyncio.timeout(PROMPT):
                parts = await self.parts(state)
        except TimeoutError:
            parts = self._answered
        critical = [check.name for check in self.checks if check.critical]
        return [name for name in critical if name not in parts or parts[name].status == "failed"]

    async def _probe_all(self, state: State) -> dict[str, PartHealth]:
        self._answered = {}
        try:
            await asyncio.gather(*(self._probe(check, state) for check in self.checks))
            self._known = {check.name: self._answered[check.name] for check in self.checks}
            self._known_at = monotonic()
            return self._known
        finally:
            self._round = None

    async def _probe(self, check: Check, state: State) -> None:
        started = perf_counter()
        facts: Mapping[str, Any] = {}
        status: Literal["ok", "failed"] = "ok"
        try:
            async with asyncio.timeout(check.timeout):
                facts = await check.probe(state) or {}
        except Exception as error:
            status = "failed"
            before = self._known.get(check.name)
            if before is None or before.status == "ok":  # once for each outage, not once for each probe
                logger.warning("health check %s failed: %r", check.name, error, exc_info=error)
        latency = round(perf_counter() - started, 6)
        self._answered[check.name] = PartHealth(status=status, critical=check.critical, latency=latency, facts=facts)


def operators_only(settings: HealthSettings) -> Callable[[Request], Awaitable[None]]:
    """Return a dependency that admits operators alone: with the key, or from a private address."""

    async def refuse_others(request: Request) -> None:
        given = request.headers.get("x-health-key", "")
        if not is_near(request) and not (settings.key and secret_matches(given, settings.key)):
            emit(SecurityEvent("authentication_failed", reason=f"{'wrong' if given else 'no'} health key"))
            raise AuthenticationFailed("send the key of this service as X-Health-Key")

    return refuse_others


def component(settings: HealthSettings, version: str, checks: Sequence[Check], lifecycle: Lifecycle) -> Component:
    """Serve the four addresses below /health."""
    health = Health(checks)
    router = APIRouter(prefix="/health", tags=["health"])

    def phase() -> Literal["starting", "draining", "ready"]:
        return "draining" if lifecycle.draining else "ready" if lifecycle.ready else "starting"

    def unready(request: Request, reason: str, parts: Sequence[str] = ()) -> Response:
        details = {"status": reason, "failing": list(parts)}
        return problems.response(NotReady(details=details), request.url.path)

    @router.get("/live")
    async def live() -> Liveness:
        """The process answers."""
        return Liveness()

    @router.get("/startup", responses=NotReady.schema(), response_model=Liveness)
    async def startup(request: Request) -> Liveness | Response:
        """Everything is open."""
        return Liveness() if lifecycle.ready else unready(request, "starting")

    @router.get("/ready", responses=NotReady.schema(), response_model=Liveness)
    async def ready(request: Request) -> Liveness | Response:
        """Requests may be sent here."""
        if phase() != "ready":
            return unready(request, phase())
        failing = await health.failing(request.scope["state"])
        return unready(request, "failed", failing) if failing else Liveness()

    @router.get("", responses=AuthenticationFailed.schema())
    async def detail(request: Request, _: Annotated[None, Depends(operators_only(settings))]) -> ServiceHealth:
        """The health of each part, for operators: with the key, or from a private address."""
        parts = await health.parts(request.scope["state"])
        failed = [part for part in parts.values() if part.status == "failed"]
        found: Literal["ok", "degraded", "failed"] = "degraded" if failed else "ok"
        if any(part.critical for part in failed):
            found = "failed"
        now = phase()
        return ServiceHealth(status=found if now == "ready" else now, version=version, parts=parts)

    return Component(name="health", routers=[router])
