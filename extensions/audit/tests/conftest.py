"""Fixtures of the audit trail's tests: a slice that emits events, and the file that records them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.core import context
from app.core.component import Component
from app.core.database import DatabaseDep, emit_once_committed
from app.core.errors import AuthenticationFailed, BusinessRuleViolated
from app.core.telemetry import BusinessEvent, SecurityEvent, emit
from app.core.versioning import versioned

KEY = "the-key-of-these-tests"
router = versioned("events")


@router.post("/prices")
async def change_a_price(database: DatabaseDep, fail: bool = False) -> None:  # a parameter
    """A business event, once it is committed."""
    current = context.current()
    assert current is not None
    current.principal = "user:ada"
    change = BusinessEvent(
        "price_changed", "product 7", before={"price": 1, "password": "old"}, after={"price": 2, "password": "new"}
    )
    async with database.transaction() as session:
        emit_once_committed(session, change)
        if fail:
            raise BusinessRuleViolated


@router.post("/logins")
async def refuse() -> None:
    """A security event."""
    emit(SecurityEvent("authentication_failed", "bob", "expired, sent Bearer abcdefghijkl"))
    raise AuthenticationFailed


EVENTS = Component(name="test_events", routers=[router])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file."""
    return tmp_path / "trail" / "audit.jsonl"


@pytest.fixture
def records(path: Path) -> Callable[[], list[dict[str, Any]]]:
    """A function that returns the records of the file."""
    return lambda: [json.loads(line) for line in path.read_bytes().splitlines()]
