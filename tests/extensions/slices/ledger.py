"""A slice in which something happens: one business event for each request, once it is committed."""

from app.core.component import Component
from app.core.database import DatabaseDep, emit_once_committed
from app.core.telemetry import BusinessEvent
from app.core.versioning import versioned

router = versioned("ledger")


@router.post("/{entry}", status_code=201)
async def book(entry: int, database: DatabaseDep, size: int = 0) -> None:
    """Book an entry."""
    async with database.transaction() as session:
        after = {"entry": entry, "filling": "x" * size}
        emit_once_committed(session, BusinessEvent("entry_booked", str(entry), after=after))


def component() -> Component:
    """Return the component of this slice."""
    return Component(name="ledger", routers=[router])
