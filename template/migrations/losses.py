"""Data loss: named when a revision is written, and refused when it is applied, unless the revision allows it."""

import logging
import os
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from alembic.ddl.impl import DefaultImpl
from alembic.operations import ops
from alembic.operations.batch import ApplyBatchImpl
from alembic.runtime.migration import MigrationContext, MigrationInfo
from sqlalchemy import Column, Connection, Dialect, Table, TypeDecorator, event
from sqlalchemy.types import TypeEngine

from app.core.errors import ConfigurationInvalid

logger = logging.getLogger(__name__)


class Statements(NamedTuple):
    """The statements of a new revision before its operations and after them, in `upgrade` and in `downgrade`."""

    first: Sequence[str] = ()
    last: Sequence[str] = ()
    undo_first: Sequence[str] = ()
    undo_last: Sequence[str] = ()


class CarefulImpl(DefaultImpl):
    """An implementation of Alembic that notes what the operations of a revision lose."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.losses: list[str] = []
        self.copies: dict[Table, Table | None] = {}
        if self.live:
            event.listen(self.live, "commit", self.before_commit)
            event.listen(self.live, "rollback", self.after_rollback)

    @property
    def live(self) -> Connection | None:
        """Return the connection, or nothing if the statements are only printed (`--sql`)."""
        return None if self.as_sql else self.connection

    @property
    def autocommits(self) -> bool:
        """Return whether each statement is committed at once, in an autocommit block."""
        return self.live is not None and self.live.get_execution_options().get("isolation_level") == "AUTOCOMMIT"

    def lose(self, what: str) -> None:
        """Note a loss. `check_revision` decides before it is committed.

        Raises:
            ConfigurationInvalid: each statement is committed at once.
        """
        logger.warning("the revision %s", what)
        self.losses.append(what)
        if self.live and self.autocommits:
            self.before_commit(self.live)

    def before_commit(self, _: Connection) -> None:
        """Refuse to commit a loss that was not decided on: before an autocommit block, or in it.

        Raises:
            ConfigurationInvalid: there is one.
        """
        if self.losses:
            raise ConfigurationInvalid(
                f"a revision with an autocommit block {' and '.join(self.losses)}: "
                "do that in a revision of its own, so that it can be rolled back"
            )

    def after_rollback(self, _: Connection) -> None:
        """Forget the losses, which did not happen."""
        self.losses = []

    def drop_table(self, table: Table, **options: Any) -> None:
        """Drop a table."""
        if table not in self.copies and self.has_values(table.name, table.schema):
            self.lose(f"drops the table {table.name}, which has rows")
        super().drop_table(table, **options)

    def drop_column(self, table_name: str, column: Column[Any], *, schema: str | None = None, **options: Any) -> None:
        """Drop a column."""
        self._note_dropped(table_name, schema, [column.name])
        super().drop_column(table_name, column, schema=schema, **options)

    def prep_table_for_batch(self, batch_impl: ApplyBatchImpl, table: Table) -> None:
        """Note the columns that a copy leaves out. The tables that it drops are no loss."""
        super().prep_table_for_batch(batch_impl, table)
        self.copies[table] = batch_impl.new_table
        if batch_impl.new_table is not None:
            self.copies[batch_impl.new_table] = None  # dropped if the copy fails
        if self.live:
            found = [one["name"] for one in sa.inspect(self.live).get_columns(table.name, schema=table.schema)]
            copied = [name for name, transfer in batch_impl.column_transfers.items() if "expr" in transfer]
            self._note_dropped(table.name, table.schema, [name for name in found if name not in copied])

    def _note_dropped(self, table: str, schema: str | None, columns: Iterable[str]) -> None:
        for column in columns:
            if self.has_values(table, schema, column):
                self.lose(f"drops the column {table}.{column}, which has values")

    def has_values(self, table: str, schema: str | None, column: str | None = None) -> bool:
        """Return whether a table has rows, or a column has values."""
        if self.live is None:
            return False
        found = sa.inspect(self.live)
        if not found.has_table(table, schema=schema):  # `if_exists`
            return False
        query = sa.select(sa.literal(1)).select_from(sa.table(table, schema=schema)).limit(1)
        if column is not None:
            names = [one["name"] for one in found.get_columns(table, schema=schema)]
            same = [name for name in names if name.lower() == column.lower()]  # a database may take either case
            if not same:
                return False
            query = query.where(sa.column(same[0]).is_not(None))
        return self.live.scalar(query) is not None


def check_revision(*, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Refuse a revision that lost rows or values, before it is committed. A downgrade only says so.

    Raises:
        ConfigurationInvalid: the revision has no `loses_data = True`. The transaction is rolled back.
    """
    if not isinstance(ctx.impl, CarefulImpl):
        return
    lost, ctx.impl.losses = ctx.impl.losses, []
    if not lost or not step.is_upgrade or ctx.script is None or step.up_revision_id is None:
        return
    revision = ctx.script.get_revision(step.up_revision_id)
    if revision is not None and getattr(revision.module, "loses_data", False) is not True:
        raise ConfigurationInvalid(
            f"revision {revision.revision} {' and '.join(lost)}: if that is meant, "
            f"set `loses_data = True` in {os.path.relpath(revision.path)}"
        )


def name_losses(context: MigrationContext, _: Any, directives: list[ops.MigrationScript]) -> None:
    """Name what a new revision loses, to its author and in its file: Alembic's `process_revision_directives`."""
    named = [one for script in directives if script.upgrade_ops for one in _named(script.upgrade_ops, context.dialect)]
    for loss in named:
        logger.warning("the new revision %s", loss)
    lines = [f"This revision {loss}." for loss in named]
    lines += ["If there are values to lose, it is refused until you set here: loses_data = True"] if named else []
    context.opts["template_args"]["losses"] = [part for line in lines for part in textwrap.wrap(line, 110)]


def _named(upgrade: ops.UpgradeOps, dialect: Dialect) -> Iterator[str]:
    for table in upgrade.ops:
        if isinstance(table, ops.DropTableOp):
            yield f"drops the table {table.table_name}"
        if not isinstance(table, ops.ModifyTableOps):
            continue
        name = table.table_name
        added = [one.column.name for one in table.ops if isinstance(one, ops.AddColumnOp)]
        kept = {getattr(one, "constraint_name", None) for one in table.ops if isinstance(one, ops.AddConstraintOp)}
        for one in table.ops:
            if isinstance(one, ops.DropColumnOp):
                new = added[0] if len(added) == 1 else "..."
                instead = f'op.alter_column("{name}", "{one.column_name}", new_column_name="{new}")'
                hint = f" and adds {', '.join(added)}: if you renamed it, write {instead} instead" if added else ""
                yield f"drops the column {name}.{one.column_name}{hint}"
            elif isinstance(one, ops.DropConstraintOp) and one.constraint_name not in kept:
                yield f"drops the constraint {one.constraint_name} of {name}"
            elif isinstance(one, ops.AlterColumnOp) and one.modify_type is not None and one.existing_type is not None:
                old, new = one.existing_type, one.modify_type
                if not holds_all(new, old):
                    yield (
                        f"changes {name}.{one.column_name} from {old.compile(dialect)} to {new.compile(dialect)}, "
                        "which may not hold each value"
                    )


def holds_all(new: TypeEngine[Any], old: TypeEngine[Any]) -> bool:
    """Return whether a type holds each value of another one, as far as their declarations say."""
    new, old = (kind.impl_instance if isinstance(kind, TypeDecorator) else kind for kind in (new, old))
    if isinstance(new, sa.String) and isinstance(old, sa.String) and not isinstance(new, sa.Enum):
        return new.length is None or (old.length is not None and old.length <= new.length)
    if isinstance(new, sa.Integer) and isinstance(old, sa.Integer):
        return _bytes(new) >= _bytes(old)
    if isinstance(new, sa.Numeric) and isinstance(old, sa.Numeric):
        if new.precision is None:
            return True
        return old.precision is not None and all(a >= b for a, b in zip(_digits(new), _digits(old), strict=True))
    return False


def _bytes(kind: TypeEngine[Any]) -> int:
    return 8 if isinstance(kind, sa.BigInteger) else 2 if isinstance(kind, sa.SmallInteger) else 4


def _digits(kind: sa.Numeric[Any]) -> tuple[int, int]:
    """Return the digits before and after the point."""
    after = kind.scale or 0
    return (kind.precision or 0) - after, after
