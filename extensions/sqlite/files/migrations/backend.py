"""SQLite: keeps the rows of a table when Alembic copies it, which it calls a batch change."""

import logging
import re
from typing import Any

from alembic.ddl.sqlite import SQLiteImpl
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Connection, LargeBinary, String, Table, event, text
from sqlalchemy.types import TypeEngine

from app.core.errors import ConfigurationInvalid

logger = logging.getLogger(__name__)
_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL ORDER BY name"
_UNREAD = {"table": r"\b(AUTOINCREMENT|COLLATE|ON CONFLICT)\b", "index": r"\b(COLLATE|DESC)\b"}
"""Words that Alembic does not read in the SQL of a table, and of an index on columns."""
_REMOVES = re.compile(
    r"""\b(?:delete\s+from|replace\s+into|insert\s+or\s+replace\s+into|update(?:\s+or\s+\w+)?)\s+["`\[]?([^"`\]\s(]+)""",
    re.IGNORECASE,
)
"""A statement that may remove a key, and its table."""
_REFERRED_TO = """
    SELECT DISTINCT f."to" FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f
    WHERE m.type = 'table' AND lower(f."table") = lower(?)
"""


class CarefulSQLite(SQLiteImpl):
    """The SQLite of Alembic, with copies that keep the values of a table."""

    __dialect__ = "sqlite"  # Alembic takes the last implementation that is declared for a dialect

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.connection is not None and not self.as_sql:
            event.listen(self.connection, "after_cursor_execute", _check_statement)

    def cast_for_batch_migrate(self, existing: Any, existing_transfer: Any, new_type: TypeEngine[Any]) -> None:
        """Cast between text and bytes alone: CAST makes 2026 of "2026-01-02" as a DATE, and 0 of a word."""
        types = (existing.type, new_type)
        if any(isinstance(one, LargeBinary) for one in types) and any(isinstance(one, String) for one in types):
            super().cast_for_batch_migrate(existing, existing_transfer, new_type)

    def prep_table_for_batch(self, _: Any, table: Table) -> None:
        """Warn of what the copy leaves out."""
        if self.connection is None or self.as_sql:
            return
        kept = {index.name for index in table.indexes} | {table.name}
        left_out = []
        for kind, name, sql in self.connection.execute(text(_OBJECTS), {"table": table.name}):
            if name in kept and kind in _UNREAD:  # a trigger may be called like a table
                words = re.findall(_UNREAD[kind], sql, re.IGNORECASE)
                left_out += [f"{word.upper()} in {kind} {name}" for word in dict.fromkeys(words)]
            else:
                left_out.append(f"{kind} {name}")
        if left_out:
            logger.warning("the copy of %s has no %s: create it again if you need it", table.name, ", ".join(left_out))


def check_revision(*, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Check the foreign keys, which are off during a migration, before a revision commits.

    Raises:
        ConfigurationInvalid: a row refers to one that does not exist. The transaction is rolled back.
    """
    if not step.is_stamp and not ctx.as_sql and ctx.connection is not None:
        _check(ctx.connection, f"revision {step.up_revision_id}")


def _check_statement(connection: Connection, _: Any, statement: str, *__: Any) -> None:
    """Check after each statement that may remove a key: another row could take it before the revision commits."""
    found = _REMOVES.search(statement)
    if found is None:
        return
    keys = connection.exec_driver_sql(_REFERRED_TO, (found[1],)).scalars().all()
    changed = re.search(r"\bset\b(.*?)(?:\bwhere\b|$)", statement, re.IGNORECASE | re.DOTALL)
    names = [None if key is None else rf"\b{re.escape(key)}\b\W*=" for key in keys]  # None: the primary key
    if any(changed is None or name is None or re.search(name, changed[1], re.IGNORECASE) for name in names):
        _check(connection, "a statement of a revision")


def _check(connection: Connection, what: str) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        table, row, parent, _ = broken[0]
        which = "a row" if row is None else f"row {row}"
        raise ConfigurationInvalid(
            f"{what} was refused and rolled back: {which} of {table} refers to a row of {parent} that does not exist "
            f"({len(broken)} such in all): change or delete it first, since ON DELETE and ON UPDATE have no effect here"
        )


CONFIGURATION: dict[str, Any] = {"render_as_batch": True, "on_version_apply": check_revision}
"""Options of Alembic's `context.configure`: https://alembic.sqlalchemy.org/en/latest/batch.html"""
