"""The revision of the database: the service starts only on the one that it was written for."""

import ast
from functools import cache
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.core.errors import ConfigurationInvalid, ServiceUnavailable
from app.core.settings import PROJECT

VERSIONS = PROJECT / "migrations" / "versions"


def heads(directory: Path = VERSIONS) -> set[str]:
    """The newest revisions."""
    revisions, replaced = _read(directory)
    return revisions - replaced


@cache
def _read(directory: Path) -> tuple[set[str], set[str]]:
    """All revisions, and those that others follow, from the files: importing Alembic would take long at the start."""
    revisions: set[str] = set()
    replaced: set[str] = set()
    for path in sorted(directory.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                name = target.id if isinstance(target, ast.Name) else ""
                if name in {"revision", "down_revision"}:
                    value = ast.literal_eval(node.value)
                    names = {value} if isinstance(value, str) else set(value or ())
                    (revisions if name == "revision" else replaced).update(names)
    return revisions, replaced


async def verify(connection: AsyncConnection) -> None:
    """Compare the database with the files.

    Raises:
        ConfigurationInvalid: they differ.
    """
    wanted, found = heads(), await _found(connection)
    if found != wanted:
        raise ConfigurationInvalid(
            f"the database is at revision {_spoken(found)} and this version of the service needs {_spoken(wanted)}: "
            "run `make migrate`"
        )


async def verify_running(connection: AsyncConnection) -> None:
    """Notice that the database has been replaced by an older one. A newer one is normal during a rollout.

    Raises:
        ServiceUnavailable: the database is at an older revision than the service needs, or at none.
    """
    revisions, _ = _read(VERSIONS)
    found = await _found(connection)
    if found <= revisions and found != heads():
        raise ServiceUnavailable(f"the database is at revision {_spoken(found)}: it has been replaced or downgraded")


async def _found(connection: AsyncConnection) -> set[str]:
    try:
        return set((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars())
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return set()  # no such table: nothing has been migrated yet


def _spoken(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"
