"""The comparison of the models with the database: what it looks at, and how it writes a revision."""

import ast
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Dialect, TypeDecorator
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from app.core.errors import ConfigurationInvalid
from app.core.models import Base
from migrations import backend, losses

logger = logging.getLogger(__name__)


class Comparison:
    """The tables, types and constraints that Alembic compares."""

    def __init__(self, connection: Connection, script: ScriptDirectory) -> None:
        self.dialect: Dialect = connection.dialect
        self.tables = {*Base.metadata.tables, *tables_of_revisions(Path(script.dir, "versions").glob("*.py"))}
        self.schemas = {name.rpartition(".")[0] for name in self.tables} - {""}

    def options(self) -> dict[str, Any]:
        """Return the options of Alembic's `context.configure`."""
        return {
            "target_metadata": Base.metadata,
            "compare_type": True,
            "compare_server_default": True,
            "render_item": render,
            "autogenerate_plugins": ["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
            "process_revision_directives": write,
            "include_object": self.is_made,
            "include_name": self.is_ours,
            "include_schemas": bool(self.schemas),
            **backend.CONFIGURATION,
        }

    def is_ours(self, name: str | None, kind: str, parents: Any) -> bool:
        """Return whether an object of the database is ours: tables of others (a job queue) are never dropped."""
        if kind == "schema":
            return name is None or name in self.schemas
        return kind != "table" or parents["schema_qualified_table_name"] in self.tables

    def is_made(self, item: Any, name: str | None, kind: str, reflected: bool, _: Any) -> bool:
        """Return whether this database has such an object: it makes no CHECK for a type that it has itself."""
        if kind != "check_constraint" or reflected:
            return True
        return str(name) in str(CreateTable(item.table).compile(dialect=self.dialect))


def tables_of_revisions(files: Iterable[Path]) -> Iterator[str]:
    """Return the tables that revisions make. One without a model is dropped by the next revision."""
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                place = {"create_table": 0, "rename_table": 1}.get(node.func.attr, len(node.args))
                names = [argument.value for argument in node.args[place:][:1] if isinstance(argument, ast.Constant)]
                schemas = [ast.literal_eval(word.value) for word in node.keywords if word.arg == "schema"]
                yield from (".".join(str(part) for part in [*schemas, name] if part) for name in names)


def check_schemas(connection: Connection) -> None:
    """Refuse models with a schema that the database cannot have.

    Raises:
        ConfigurationInvalid: there are some.
    """
    for table in Base.metadata.tables.values():
        if table.schema and not backend.SCHEMAS:
            raise ConfigurationInvalid(f"the table {table}: this database has no schemas, remove it from the model")
        if table.schema == connection.dialect.default_schema_name:
            raise ConfigurationInvalid(f"the table {table}: {table.schema} is the default, remove it from the model")


def render(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write a type of the service as the plain type below it: a revision must not change when that type does."""
    if kind != "type":
        return False
    own = isinstance(item, TypeDecorator) and not type(item).__module__.startswith("sqlalchemy.")
    plain = item.impl_instance if own else item  # SQLAlchemy's own, such as Interval, is written as it is
    return backend.render_type(plain, context.imports) or (f"sa.{plain!r}" if own else False)


class Execute(ops.ExecuteSQLOp):
    """A statement of a new revision, which `alembic check` can show too."""

    def to_diff_tuple(self) -> tuple[str, str]:
        """Return what `alembic check` shows."""
        return ("execute", str(self.sqltext))


def write(context: MigrationContext, _: Any, directives: list[ops.MigrationScript]) -> None:
    """Complete a new revision: Alembic's `process_revision_directives`.

    Raises:
        ConfigurationInvalid: two revisions are the newest.
    """
    if context.script and len(context.script.get_heads()) > 1:
        raise ConfigurationInvalid(several_heads(context.script.get_heads()))
    for script in directives:
        if script.upgrade_ops and script.downgrade_ops and context.connection:
            complete(context.connection, script.upgrade_ops, script.downgrade_ops)
    losses.name_losses(context, _, directives)
    # `alembic check` has no message.
    if all(script.message and script.upgrade_ops and script.upgrade_ops.is_empty() for script in directives):
        directives.clear()
        logger.warning(
            "no revision was written: the database has all that the models have. Does app/features/__init__.py list "
            'each feature? For a revision to fill in yourself: `uv run alembic revision -m "what changes"`'
        )


def complete(connection: Connection, upgrade: ops.UpgradeOps, downgrade: ops.DowngradeOps) -> None:
    """Bring the operations into an order that works, and add the statements that they need."""
    found = sa.inspect(connection)
    drops = [one for one in upgrade.ops if isinstance(one, ops.DropTableOp)]
    if drops:  # after all other changes, and those that refer to others first: Alembic has them in no order
        order = found.sort_tables_on_foreign_key_dependency([one.schema for one in drops])
        places = {name: place for place, (name, _) in enumerate(order)}
        drops.sort(key=lambda one: places[one.schema, one.table_name], reverse=True)
        upgrade.ops = [*(one for one in upgrade.ops if not isinstance(one, ops.DropTableOp)), *drops]
        upgrade.reverse_into(downgrade)
    wanted = {one.schema for one in upgrade.ops if isinstance(one, ops.CreateTableOp) and one.schema}
    missing = sorted(wanted.difference(found.get_schema_names())) if wanted else []
    schemas = [f"CREATE SCHEMA IF NOT EXISTS {connection.dialect.identifier_preparer.quote(name)}" for name in missing]
    first, last, undo_first, undo_last = backend.statements(connection, dropped_types(upgrade.ops))
    upgrade.ops = [*map(Execute, [*schemas, *first]), *upgrade.ops, *map(Execute, last)]
    downgrade.ops = [*map(Execute, undo_first), *downgrade.ops, *map(Execute, undo_last)]


def dropped_types(operations: Iterable[ops.MigrateOperation]) -> Iterator[TypeEngine[Any]]:
    """Return the types of columns that a revision drops, or gives another type."""
    for one in operations:
        if isinstance(one, ops.ModifyTableOps):
            yield from dropped_types(one.ops)
        elif isinstance(one, ops.DropTableOp):
            yield from (column.type for column in one.to_table().columns)
        elif isinstance(one, ops.DropColumnOp):
            yield one.to_column().type
        elif isinstance(one, ops.AlterColumnOp) and one.modify_type is not None and one.existing_type is not None:
            yield one.existing_type


def several_heads(heads: Iterable[str]) -> str:
    """Say what to do with several newest revisions."""
    return f"the revisions {' and '.join(sorted(heads))} are both the newest: `make merge-migrations` joins them"
