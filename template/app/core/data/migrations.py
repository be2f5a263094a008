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
    revisions, replaced = _read(directory)
    return revisions - replaced


@cache
def _read(directory: Path) -> tuple[set[str], set[str]]:
    """Return all revisions, and those that others follow. Importing Alembic would slow each start."""
    found: dict[str, set[str]] = {"revision": set(), "down_revision": set()}
    for path in directory.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and target.id in found:
                    value = ast.literal_eval(node.value)
                    found[target.id].update({value} if isinstance(value, str) else value or ())
    return found["revision"], found["down_revision"]


async def verify(connection: AsyncConnection) -> None:
    """Raise `ConfigurationInvalid` if the database and the files differ."""
    wanted, found = heads(), await _found(connection)
    if found != wanted:
        revisions, _ = _read(VERSIONS)
        todo = "run `make migrate`"
        if len(wanted) > 1:
            todo = "run `make merge-migrations`, then `make migrate`"
        elif found - revisions:
            todo = "deploy the version that has it, or run `make reset-database` if this is your own database"
        state = f"the database is at revision {_names(found)} and this version of the service needs {_names(wanted)}"
        raise ConfigurationInvalid(f"{state}: {todo}", exit_status=3)


async def verify_running(connection: AsyncConnection) -> None:
    """Raise `ServiceUnavailable` if the database was replaced by an older one. During a rollout it may be newer."""
    revisions, _ = _read(VERSIONS)
    found = await _found(connection)
    if found <= revisions and found != heads():
        raise ServiceUnavailable(f"the database is at revision {_names(found)}: it was replaced or downgraded")


async def _found(connection: AsyncConnection) -> set[str]:
    try:
        return set((await connection.execute(text("SELECT version_num FROM alembic_version"))).scalars())
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        return set()  # no such table: nothing was migrated yet


def _names(revisions: set[str]) -> str:
    return ", ".join(sorted(revisions)) or "none"
