"""PostgreSQL: changes tables in place and checks every rule itself, but rounds values, and has types of its own."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any, Literal

import sqlalchemy as sa
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy import Connection, text
from sqlalchemy.dialects.postgresql import ENUM
from sqlalchemy.dialects.postgresql.base import PGIdentifierPreparer, PGInspector
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.types import NullType, TypeEngine

from app.core.models import Base
from migrations.losses import CarefulImpl, Statements, check_revision, holds_all


class CarefulPostgres(CarefulImpl, PostgresqlImpl):
    """The PostgreSQL of Alembic, which notes the values that a change of type alters."""

    __dialect__ = "postgresql"  # Alembic takes the last implementation that is declared for a dialect

    def alter_column(
        self,
        table_name: str,
        column_name: str,
        *,
        type_: TypeEngine[Any] | None = None,
        schema: str | None = None,
        postgresql_using: str | None = None,
        **options: Any,
    ) -> None:
        """Change a column."""
        if type_ is not None:
            new = sa.types.to_instance(type_)
            if self._alters_values(table_name, column_name, new, schema, postgresql_using):
                self.lose(f"alters values of {table_name}.{column_name}, which becomes {new.compile(self.dialect)}")
        if postgresql_using is not None:
            options["postgresql_using"] = postgresql_using
        super().alter_column(table_name, column_name, type_=type_, schema=schema, **options)

    def _alters_values(
        self, table: str, column: str, new: TypeEngine[Any], schema: str | None, using: str | None
    ) -> bool:
        """Return whether a value is another one when it is converted to the new type and back."""
        if self.live is None:
            return False
        try:
            columns = sa.inspect(self.live).get_columns(table, schema=schema)
        except NoSuchTableError:  # the statement itself says so
            return False
        old = next((one["type"] for one in columns if one["name"] == column), NullType())
        if isinstance(old, NullType) or (using is None and holds_all(new, old)):
            return False
        if isinstance(old, sa.String) and not isinstance(new, sa.String) and _is_cast(using, column):
            return False  # text may be written in many ways
        before: Any = sa.column(column, old)
        after: Any = sa.literal_column(f"({using})") if using else before
        changed = sa.cast(sa.cast(after, new), old).is_distinct_from(before)
        query = sa.select(sa.literal(1)).select_from(sa.table(table, schema=schema)).where(changed).limit(1)
        try:
            with nullcontext() if self.autocommits else self.live.begin_nested():
                return self.live.scalar(query) is not None
        except DBAPIError:  # there is no way back, or the statement itself fails for the same reason
            return using is not None and self.has_values(table, schema, column)


def _is_cast(using: str | None, column: str) -> bool:
    """Return whether an expression is the column in another type, and nothing else."""
    name = rf'\(?"?{re.escape(column)}"?\)?'
    return (
        re.fullmatch(rf"\s*(?:{name}\s*::[\w\s(),]+|cast\s*\(\s*{name}\s+as\b.*)", using or "", re.IGNORECASE)
        is not None
    )


DIALECT = CarefulPostgres.__dialect__
SCHEMAS = True
DIALECT = CarefulPostgres.__dialect__
SCHEMAS = True
"""A model may be in a schema of its own."""
CONFIGURATION: dict[str, Any] = {"on_version_apply": check_revision}
"""Options of Alembic's `context.configure`."""


def render_type(kind: TypeEngine[Any], imports: set[str]) -> str | Literal[False]:
    """Write the type of an enum as one that the revision creates itself: each of its tables would create it."""
    if not (isinstance(kind, sa.Enum) and kind.native_enum and kind.name):
        return False
    imports.add("from sqlalchemy.dialects import postgresql")
    schema = f", schema={kind.schema!r}" if kind.schema else ""
    return f"postgresql.ENUM({', '.join(map(repr, kind.enums))}, name={str(kind.name)!r}{schema}, create_type=False)"


def statements(connection: Connection, dropped: Iterable[TypeEngine[Any]]) -> Statements:
    """Return what a revision runs for enums: a type is created once, and dropped after its last use."""
    public = connection.dialect.default_schema_name
    types = [
        ENUM(*one["labels"], name=one["name"], schema=None if one["schema"] == public else one["schema"])
        for one in PGInspector(connection).get_enums(schema="*")
    ]
    found = {_key(kind): kind for kind in types}
    wanted = _enums(column.type for table in Base.metadata.tables.values() for column in table.columns)
    new = [wanted[key] for key in sorted(wanted.keys() - found.keys())]
    old = [found[key] for key in sorted(_enums(dropped).keys() & found.keys() - wanted.keys())]
    names: Callable[[sa.Enum], str] = PGIdentifierPreparer(connection.dialect).format_type
    creates, drops = (
        [[text.format(names(kind), ", ".join(map(_quoted, kind.enums))) for kind in kinds] for kinds in (new, old)]
        for text in ("CREATE TYPE {} AS ENUM ({})", "DROP TYPE {}")
    )
    labels = [line for key in sorted(wanted.keys() & found.keys()) for line in _labels(found[key], wanted[key], names)]
    return Statements([*creates[0], *labels], drops[1], creates[1], drops[0])


def _labels(old: sa.Enum, new: sa.Enum, names: Callable[[sa.Enum], str]) -> Iterator[str]:
    """Add the labels that are new. A downgrade leaves them: PostgreSQL cannot remove one."""
    before = None
    for label in new.enums:
        if label not in old.enums:
            place = f"AFTER {_quoted(before)}" if before else f"BEFORE {_quoted(old.enums[0])}"
            yield f"ALTER TYPE {names(old)} ADD VALUE IF NOT EXISTS {_quoted(label)} {place}"
        before = label


def _enums(types: Iterable[TypeEngine[Any]]) -> dict[tuple[str, str], sa.Enum]:
    plain = [kind.impl_instance if isinstance(kind, sa.TypeDecorator) else kind for kind in types]
    plain = [kind.item_type if isinstance(kind, sa.ARRAY) else kind for kind in plain]
    return {_key(kind): kind for kind in plain if isinstance(kind, sa.Enum) and kind.native_enum and kind.name}


def _key(kind: sa.Enum) -> tuple[str, str]:
    return kind.schema or "", str(kind.name)


def _quoted(label: str) -> str:
    return "'" + label.replace("'", "''").replace(":", r"\:") + "'"  # a colon would be a parameter


def empty(connection: Connection) -> None:
    """Drop everything."""
    quote = connection.dialect.identifier_preparer.quote
    for name in {*sa.inspect(connection).get_schema_names()} - {"information_schema"}:
        connection.execute(text(f"DROP SCHEMA {quote(name)} CASCADE"))
    connection.execute(text(f"CREATE SCHEMA {quote(str(connection.dialect.default_schema_name))}"))
