"""The entry point of Alembic: it compares the tables of every feature with the database of the settings."""

import asyncio
import sys
from contextlib import aclosing
from functools import partial
from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection, Dialect, TypeDecorator
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

import app.extensions
import app.features  # noqa: F401  # every feature's tables are in Base.metadata once it is imported
from app.core.data import engine
from app.core.data.engine import DatabaseSettings
from app.core.database import unusable
from app.core.errors import ConfigurationInvalid
from app.core.models import Base
from app.core.observability import logging
from app.core.observability.logging import LogSettings
from app.core.settings import ServiceSettings, Settings
from app.main import load_settings, refuse
from migrations import backend, losses


def render(kind: str, item: object, _: object) -> str | Literal[False]:
    """Write a type of the service as the plain type below it: a revision must not change when that type does."""
    if kind != "type" or not isinstance(item, TypeDecorator) or type(item).__module__.startswith("sqlalchemy."):
        return False  # SQLAlchemy's own, such as Interval, is written as it is
    return f"sa.{item.impl_instance!r}"


def is_made(item: Any, name: str | None, kind: str, reflected: bool, _: Any, *, dialect: Dialect) -> bool:
    """Return whether this database has such an object: it makes no CHECK for a type that it has itself."""
    if kind != "check_constraint" or reflected:
        return True
    return str(name) in str(CreateTable(item.table).compile(dialect=dialect))


def migrate(connection: Connection) -> None:
    """Run the migrations, one process at a time: ten replicas may start them at once."""
    tables = set(Base.metadata.tables)
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        compare_server_default=True,
        render_item=render,
        autogenerate_plugins=["alembic.autogenerate.*", "alembic.ext.checkconstraint_byname"],
        process_revision_directives=losses.name_losses,
        include_object=partial(is_made, dialect=connection.dialect),
        # The tables of others (a job queue, a backup tool) are never dropped.
        include_name=lambda name, kind, _: kind != "table" or name in tables,
        **backend.CONFIGURATION,
    )
    with engine.migration_lock(connection), context.begin_transaction():
        context.run_migrations()


async def connect(settings: Settings) -> None:
    """Open the database as migrations need it.

    Raises:
        ConfigurationInvalid: it cannot be opened, or refuses what a revision does, which is then rolled back.
    """
    database = settings.of(DatabaseSettings)
    connectable = engine.create_for_migrations(database)
    try:
        try:
            engine.prepare_place(database.url)
            connection = await connectable.connect()
        except engine.CANNOT_CONNECT as error:
            raise unusable(connectable, error) from error
        async with aclosing(connection):
            await connection.run_sync(migrate)
            await connection.commit()
    except DBAPIError as error:
        said = str(error.orig).partition("\n")[0]
        statement = " ".join((error.statement or "").partition("'")[0].split())[:200]  # what is quoted may be a secret
        raise ConfigurationInvalid(f"the transaction was rolled back: {said} (in: {statement})") from error
    finally:
        await connectable.dispose()


def main() -> None:
    """Read the settings, then migrate. A mistake is one line."""
    try:
        settings = load_settings()
        service = settings.of(ServiceSettings)
        logging.configure(
            settings.of(LogSettings), service=service.name, version=service.version, production=service.production
        )
        asyncio.run(connect(settings))
    except ConfigurationInvalid as error:
        sys.exit(refuse(error))


main()
