"""SQLite: keeps the rows, values and ids of a table when Alembic copies it, which it calls a batch change."""

import logging
import re
from collections.abc import Iterable
from typing import Any, Literal

from alembic.ddl.sqlite import SQLiteImpl
from alembic.operations.batch import ApplyBatchImpl
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Column, Connection, LargeBinary, String, Table, event, text
from sqlalchemy.types import TypeEngine

from app.core.errors import ConfigurationInvalid
from migrations import losses

logger = logging.getLogger(__name__)
_OBJECTS = "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = :table AND sql IS NOT NULL ORDER BY name"
_UNREAD = {"table": r"\b(COLLATE|ON CONFLICT)\b", "index": r"\b(COLLATE|DESC)\b"}
"""Words that Alembic does not read in the SQL of a table, and of an index on columns."""
_CHECK = re.compile(r"""(\bCONSTRAINT\s+(?:"[^"]*"|\S+)\s+)?\bCHECK\s*\(""", re.IGNORECASE)
"""A rule of a table, and its name, without which Alembic leaves it out."""
_CHANGES_NOTHING = re.compile(r"\s*(?:begin|pragma|select)\b", re.IGNORECASE)
_REMOVES = re.compile(
    r"""\b(?:delete\s+from|replace\s+into|insert\s+or\s+replace\s+into|update(?:\s+or\s+\w+)?)\s+["`\[]?([^"`\]\s(]+)""",
    re.IGNORECASE,
)
"""A statement that may remove a key, and its table."""
_REFERRED_TO = """
    SELECT DISTINCT f."to" FROM sqlite_master AS m JOIN pragma_foreign_key_list(m.name) AS f
    WHERE m.type = 'table' AND lower(f."table") = lower(?)
"""
_INLINE = """SELECT "from", "table", on_delete, on_update FROM pragma_foreign_key_list(:table)"""
_ALTERED = """
    SELECT EXISTS (
        SELECT 1 FROM (SELECT *, CAST(old AS TEXT) AS a, CAST(new AS TEXT) AS b FROM _alembic_values)
        WHERE NOT (
            +old IS +new
            OR typeof(old) = 'text' AND typeof(new) IN ('integer', 'real')
                AND CASE WHEN instr(a, '.') THEN rtrim(rtrim(a, '0'), '.') ELSE a END
                = CASE WHEN instr(b, '.') THEN rtrim(rtrim(b, '0'), '.') ELSE b END
            OR typeof(old) IN ('integer', 'real') AND typeof(new) = 'text' AND CAST(new AS NUMERIC) = +old
        )
    )
"""
"""A query that is true if a column did not keep a value. `+` compares without a conversion."""


class CarefulSQLite(losses.CarefulImpl, SQLiteImpl):
    """The SQLite of Alembic, with copies that keep the values of a table."""

    __dialect__ = "sqlite"  # Alembic takes the last implementation that is declared for a dialect
    transactional_ddl = True  # `app.core.data.engine` sends BEGIN itself

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.checked = True
        if self.live:
            event.listen(self.live, "after_cursor_execute", self._check_statement)

    def cast_for_batch_migrate(self, existing: Any, existing_transfer: Any, new_type: TypeEngine[Any]) -> None:
        """Cast between text and bytes alone: CAST makes 2026 of "2026-01-02" as a DATE, and 0 of a word."""
        types = (existing.type, new_type)
        if any(isinstance(one, LargeBinary) for one in types) and any(isinstance(one, String) for one in types):
            super().cast_for_batch_migrate(existing, existing_transfer, new_type)

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Have the copy keep what it can, note what it alters, and warn of what it leaves out."""
        super().prep_table_for_batch(batch_impl, table)
        if self.live:
            _keep_actions(self.live, batch_impl, table)
            self._note_altered(self.live, batch_impl, table)
            _warn(self.live, table)

    def _note_altered(self, connection: Connection, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Try each value in a column of its new type: SQLite makes 7 of '007', and rounds after 15 digits."""
        types = connection.execute(text("SELECT name, type FROM pragma_table_info(:table)"), {"table": table.name})
        old = {name: _affinity(kind) for name, kind in types}
        quote = self.dialect.identifier_preparer.quote
        for name, column in batch_impl.columns.items():
            new = column.type.compile(self.dialect)
            cast = not isinstance(batch_impl.column_transfers[name].get("expr"), Column)
            if name not in old or old[name] == _affinity(new) or cast:
                continue
            connection.exec_driver_sql(f"CREATE TABLE _alembic_values (old, new {new})")
            values = f"SELECT {quote(name)}, {quote(name)} FROM {quote(table.name)}"  # noqa: S608  # quoted
            connection.exec_driver_sql(f"INSERT INTO _alembic_values {values}")
            altered = connection.exec_driver_sql(_ALTERED).scalar()
            connection.exec_driver_sql("DROP TABLE _alembic_values")
            if altered:
                self.lose(f"alters values of {table.name}.{name}, which becomes {new}")

    def drop_table(self, table: Table, **options: Any) -> None:
        """Drop a table. Its copy goes on counting where it stopped."""
        if self.live and (copy := self.copies.get(table)) is not None:
            _carry_sequence(self.live, table.name, copy.name)
        super().drop_table(table, **options)

    def before_commit(self, connection: Connection) -> None:
        """Check the foreign keys too, which an autocommit block would commit before the end of its revision.

        Raises:
            ConfigurationInvalid: a row refers to one that does not exist.
        """
        super().before_commit(connection)
        if not self.checked:
            self.check_foreign_keys("an autocommit block")

    def after_rollback(self, connection: Connection) -> None:
        """Forget what did not happen."""
        super().after_rollback(connection)
        self.checked = True

    def _check_statement(self, connection: Connection, _: Any, statement: str, *__: Any) -> None:
        """Check after each statement that may remove a key: another row could take it before the revision commits."""
        self.checked = self.checked and _CHANGES_NOTHING.match(statement) is not None
        found = _REMOVES.search(statement)
        if found is None:
            return
        keys = connection.exec_driver_sql(_REFERRED_TO, (found[1],)).scalars().all()
        changed = re.search(r"\bset\b(.*?)(?:\bwhere\b|$)", statement, re.IGNORECASE | re.DOTALL)
        names = [None if key is None else rf"\b{re.escape(key)}\b\W*=" for key in keys]  # None: the primary key
        if any(changed is None or name is None or re.search(name, changed[1], re.IGNORECASE) for name in names):
            self.check_foreign_keys("a statement of a revision")

    def check_foreign_keys(self, what: str) -> None:
        """Check them all: they are off during a migration.

        Raises:
            ConfigurationInvalid: a row refers to one that does not exist. The transaction is rolled back.
        """
        broken = self.live.exec_driver_sql("PRAGMA foreign_key_check").all() if self.live else []
        self.checked = True
        if broken:
            table, row, parent, _ = broken[0]
            which = "a row" if row is None else f"row {row}"
            raise ConfigurationInvalid(
                f"{what} was refused and rolled back: {which} of {table} refers to a row of {parent} that does not "
                f"exist ({len(broken)} such in all): change or delete it first, since ON DELETE and ON UPDATE have no "
                "effect here"
            )


def check_revision(*, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Check the foreign keys before a revision commits.

    Raises:
        ConfigurationInvalid: a row refers to one that does not exist. The transaction is rolled back.
    """
    if not isinstance(ctx.impl, CarefulSQLite):
        return
    if step.is_stamp:
        ctx.impl.checked = True  # nothing but the number of the revision has changed
    else:
        ctx.impl.check_foreign_keys(f"revision {step.up_revision_id}")


def _affinity(kind: str) -> str:
    """Return which conversions a column makes: https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""
    kind = kind.upper()
    rules = {"INTEGER": ("INT",), "TEXT": ("CHAR", "CLOB", "TEXT"), "BLOB": ("BLOB",), "REAL": ("REAL", "FLOA", "DOUB")}
    found = (name for name, words in rules.items() if any(word in kind for word in words))
    return next(found, "NUMERIC") if kind else "BLOB"


def _carry_sequence(connection: Connection, old: str, new: str) -> None:
    """Let a copy of a table count on: an id that was used before is used no more."""
    if not connection.exec_driver_sql("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").scalar():
        return  # no table has one
    last = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :old"), {"old": old}).scalar()
    if last is not None:
        connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :new"), {"new": new})
        values = {"new": new, "last": last}
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:new, :last)"), values)


def _keep_actions(connection: Connection, batch_impl: ApplyBatchImpl, table: Table) -> None:
    """Copy ON DELETE and ON UPDATE of a REFERENCES beside a column, which SQLAlchemy does not read."""
    new = batch_impl.new_table
    found = {(row[0], row[1]): row[2:] for row in connection.execute(text(_INLINE), {"table": table.name})}
    for key in new.foreign_key_constraints if new is not None else ():
        place = (key.column_keys[0], key.elements[0].target_fullname.rpartition(".")[0])
        if key.name is None and len(key.elements) == 1 and place in found:
            key.ondelete, key.onupdate = (None if action == "NO ACTION" else action for action in found[place])


def _warn(connection: Connection, table: Table) -> None:
    """Name what the copy leaves out."""
    kept = {index.name for index in table.indexes} | {table.name}
    left_out = []
    for kind, name, sql in connection.execute(text(_OBJECTS), {"table": table.name}):
        if name in kept and kind in _UNREAD:  # a trigger may be called like a table
            words = [word.upper() for word in re.findall(_UNREAD[kind], sql, re.IGNORECASE)]
            words += ["CHECK without a name" for check in _CHECK.finditer(sql) if kind == "table" and not check[1]]
            left_out += [f"{word} in {kind} {name}" for word in dict.fromkeys(words)]
        else:
            left_out.append(f"{kind} {name}")
    if left_out:
        logger.warning("the copy of %s has no %s: create it again if you need it", table.name, ", ".join(left_out))


DIALECT = CarefulSQLite.__dialect__
SCHEMAS = False
"""SQLite has no schemas."""
CONFIGURATION: dict[str, Any] = {
    "render_as_batch": True,
    "on_version_apply": (losses.check_revision, check_revision),
}
"""Options of Alembic's `context.configure`: https://alembic.sqlalchemy.org/en/latest/batch.html"""


def render_type(_: TypeEngine[Any], __: set[str]) -> Literal[False]:
    """Leave each type as it is."""
    return False


def statements(_: Connection, __: Iterable[TypeEngine[Any]]) -> losses.Statements:
    """Return nothing: a type is a part of its column."""
    return losses.Statements()


def empty(connection: Connection) -> None:
    """Drop everything."""
    found = connection.exec_driver_sql("SELECT type, name FROM sqlite_master WHERE type IN ('table', 'view')").all()
    quote = connection.dialect.identifier_preparer.quote
    for kind, name in found:
        if not name.startswith("sqlite_"):
            connection.exec_driver_sql(f"DROP {kind} IF EXISTS {quote(name)}")
