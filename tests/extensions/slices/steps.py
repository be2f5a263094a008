"""A slice whose requests do one thing of each kind that becomes a span."""

from opentelemetry import trace
from sqlalchemy import text

from app.core.component import Component
from app.core.database import DatabaseDep
from app.core.versioning import versioned
from app.extensions.outbound import client
from app.extensions.redis import cached

router = versioned("steps")
tracer = trace.get_tracer(__name__)


@cached(ttl=60, key="step:{number}")
async def found(number: int) -> int:
    """A value from the cache."""
    return number


@router.get("/{number}")
async def step(number: int, database: DatabaseDep, other: object = client("other")) -> dict[str, int]:
    """Take every step."""
    with tracer.start_as_current_span("thinking"):
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
    await found(number)
    answer = await other.get("/api/v1/orders")  # type: ignore[attr-defined]
    return {"status": answer.status_code}


def component() -> Component:
    """The slice."""
    return Component(name="steps", routers=[router])
