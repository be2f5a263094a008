"""A slice that tells of everything that a service may tell of, so that every metric has a series."""

from fastapi import APIRouter

from app import extensions
from app.core import telemetry
from app.core.component import Component

router = APIRouter(prefix="/telling")
OF_EXTENSIONS = (
    ("redis", "CacheRead", ("prices", "hit", 0.001)),
    ("redis", "CacheRead", ("prices", "error", 0.001)),
    ("outbound", "CallFinished", ("bank", "POST", "201", 0.2)),
    ("outbound", "CallFinished", ("bank", "POST", "TimeoutError", 2.0, 3)),
    ("outbound", "CallRetried", ("bank", "POST", "TimeoutError")),
    ("outbound", "BreakerChanged", ("bank", "open")),
    ("worker", "JobFinished", ("send_mail", "complete", 0.3)),
    ("worker", "JobFinished", ("send_mail", "failed", 3.0, 5)),
    ("worker", "JobsWaiting", ("my-service", 1)),
    ("worker", "OldestJob", ("my-service", 2.5)),
    ("worker", "WorkersSeen", ("my-service", 1)),
    ("prometheus", "TokensUsed", ("large", 1000, 200, 0.03)),
)
EVENTS = (
    *(
        getattr(getattr(extensions, name), event)(*values)
        for name, event, values in OF_EXTENSIONS
        if hasattr(extensions, name)
    ),
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
    """Fail as no one expected."""
    raise RuntimeError("as it was asked for")


def component() -> Component:
    """The slice."""
    return Component(name="telling", routers=[router])
