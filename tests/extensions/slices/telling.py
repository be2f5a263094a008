"""A slice that tells of everything that a service may tell of, so that every metric has a series."""

from fastapi import APIRouter

from app.core import telemetry
from app.core.component import Component

router = APIRouter(prefix="/telling")
EVENTS = (
    telemetry.CacheRead("prices", "hit", 0.001),
    telemetry.CacheRead("prices", "error", 0.001),
    telemetry.CallFinished("bank", "POST", "201", 0.2),
    telemetry.CallFinished("bank", "POST", "TimeoutError", 2.0, attempts=3),
    telemetry.CallRetried("bank", "POST", "TimeoutError"),
    telemetry.BreakerChanged("bank", "open"),
    telemetry.JobFinished("send_mail", "complete", 0.3),
    telemetry.JobFinished("send_mail", "failed", 3.0, attempts=5),
    telemetry.TokensUsed("large", prompt_tokens=1000, completion_tokens=200, cost=0.03),
    telemetry.BusinessEvent("order_shipped", subject="7"),
    telemetry.SecurityEvent("authentication_failed", reason="expired"),
)


@router.post("")
async def tell() -> None:
    """Tell of all of it."""
    for event in EVENTS:
        telemetry.emit(event)


@router.post("/failure")
async def fail() -> None:
    """Fail as nobody expected."""
    raise RuntimeError("as it was asked for")


def component() -> Component:
    """The slice."""
    return Component(name="telling", routers=[router])
