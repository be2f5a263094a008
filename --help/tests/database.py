"""Databases for the tests: a new file for each test, copied from one that has been migrated."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def databases(directory: Path, migrate: Callable[[str], None]) -> Iterator[Callable[[], AbstractContextManager[str]]]:
    """Yields a function that opens a migrated database, as its URL."""
    migrated = directory / "migrated.db"
    migrate(f"sqlite+aiosqlite:///{migrated}")
    numbers = count(1)

    @contextmanager
    def new() -> Iterator[str]:
        file = directory / f"{next(numbers)}.db"
        shutil.copy(migrated, file)
        yield f"sqlite+aiosqlite:///{file}"
        for path in directory.glob(f"{file.name}*"):  # and what SQLite keeps beside it
            path.unlink()

    yield new
