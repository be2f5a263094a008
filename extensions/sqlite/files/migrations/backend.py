"""SQLite: what keeps the rows of a table when Alembic copies it, which it calls a batch change."""

import logging
from typing import Any

from alembic.ddl.sqlite import SQLiteImpl
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import LargeBinary, Table, text
from sqlalchemy.types import TypeEngine

from app.core.errors import ConfigurationInvalid

logger = logging.getLogger(__name__)
_OBJECTS = "SELECT type, name, upper(sql) FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL ORDER BY name"


class CarefulSQLite(SQLiteImpl):
    """Copies values as they are: SQLite converts what the new type can hold exactly, and keeps the rest."""

    __dialect__ = "sqlite"  # Alembic takes the last implementation that is declared for a dialect

    def cast_for_batch_migrate(self, existing: Any, existing_transfer: Any, new_type: TypeEngine[Any]) -> None:
        """Add no CAST, but between text and bytes: CAST makes 2026 of "2026-01-02" as a DATE, and 0 of a word."""
        if isinstance(existing.type, LargeBinary) or isinstance(new_type, LargeBinary):
            super().cast_for_batch_migrate(existing, existing_transfer, new_type)

    def prep_table_for_batch(self, _: Any, table: Table) -> None:
        """Name what the copy leaves out: Alembic does not read triggers, indexes on expressions and these words."""
        if self.connection is None:
            return
        kept = {index.name for index in table.indexes}
        left_out = []
        for kind, name, sql in self.connection.execute(text(_OBJECTS), {"table": table.name}):
            if kind == "table":
                left_out += [word for word in ("AUTOINCREMENT", "COLLATE") if word in sql]
            elif name not in kept:
                left_out.append(f"{kind} {name}")
        if left_out:
            logger.warning("the copy of %s has no %s: create it again if you need it", table.name, ", ".join(left_out))


def check_references(*, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Check the foreign keys, which are off during a migration, before a revision commits.

    Raises:
        ConfigurationInvalid: a row refers to one that does not exist. The revision is rolled back.
    """
    if step.is_stamp or ctx.connection is None:  # without a connection the revision is written as SQL, not applied
        return
    broken = ctx.connection.execute(text("PRAGMA foreign_key_check")).all()
    if broken:
        table, row, parent, _ = broken[0]
        more = f", and so do {len(broken) - 1} more rows" if len(broken) > 1 else ""
        raise ConfigurationInvalid(
            f"revision {step.up_revision_id} was rolled back: row {row} of {table} refers to a row of {parent} "
            f"that does not exist{more}; have the revision delete or correct them"
        )


CONFIGURATION: dict[str, Any] = {"render_as_batch": True, "on_version_apply": check_references}
"""Options of Alembic's `context.configure`: https://alembic.sqlalchemy.org/en/latest/batch.html"""
