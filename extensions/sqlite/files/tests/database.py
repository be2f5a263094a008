"""Databases for the tests: a new file for each test, copied from one that has been migrated."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from tests.migrating import migrate


@contextmanager
def databases(directory: Path) -> Iterator[Callable[[], str]]:
    """Yields a function that makes a migrated database and returns its URL."""
    migrated = directory / "migrated.db"
    migrate(f"sqlite+aiosqlite:///{migrated}")
    numbers = count(1)

    def make() -> str:
        return f"sqlite+aiosqlite:///{shutil.copy(migrated, directory / f'{next(numbers)}.db')}"

    yield make
