"""PostgreSQL: changes tables in place and checks every rule itself, but rounds what a narrower type cannot hold."""

import re
from contextlib import nullcontext
from typing import Any

import sqlalchemy as sa
from alembic.ddl.postgresql import PostgresqlImpl
from sqlalchemy.exc import DBAPIError, NoSuchTableError
from sqlalchemy.types import NullType, TypeEngine

from migrations.losses import CarefulImpl, check_revision, holds_all


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


CONFIGURATION: dict[str, Any] = {"on_version_apply": check_revision}
"""Options of Alembic's `context.configure`."""
