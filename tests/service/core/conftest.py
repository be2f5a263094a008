"""Fixtures of the core's tests: log lines as data, and the statements that reach the database."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.data import engine as backend
from app.core.data.engine import DatabaseSettings
from app.core.settings import Settings
from app.core.telemetry import QueryFinished, listening
from tests.conftest import NewDatabase

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(scope="session")
def shared_database_url(new_database: NewDatabase) -> Iterator[str]:
    """One database for all tests of the core: a new one for each would be most of their time."""
    with new_database() as url:
        yield url


@pytest.fixture
def database_url(shared_database_url: str) -> str:
    """The tables that a test needs come and go with `things.component()`."""
    return shared_database_url


@pytest.fixture
async def engine(configured: Callable[..., Settings]) -> AsyncIterator[AsyncEngine]:
    """The test's database, past the service."""
    made = backend.create(configured().of(DatabaseSettings))
    yield made
    await made.dispose()


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """The lines of standard output since the last call, of a service with `log={"format": "json"}`."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@contextmanager
def statements() -> Iterator[list[str]]:
    """The statements that are run inside the block."""
    seen: list[str] = []
    with listening(QueryFinished, lambda event: seen.append(event.statement)):
        yield seen
