"""The entry point of Alembic: it compares the tables of every feature with the database of the settings."""

import asyncio
import sys
from contextlib import aclosing

import structlog
from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, make_url
from sqlalchemy.exc import DBAPIError

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
from migrations import autogenerate, backend

logger = structlog.get_logger("migrations")
LOCAL = {"", "localhost", "127.0.0.1", "::1"}
"""The hosts of a database on this machine."""


def migrate(connection: Connection) -> None:
    """Run the migrations, one process at a time: ten replicas may start them at once."""
    autogenerate.check_schemas(connection)
    context.configure(connection=connection, **autogenerate.Comparison(connection, context.script).options())
    with engine.migration_lock(connection), context.begin_transaction():
        if resets():
            backend.empty(connection)
            logger.warning("the database was emptied")
        context.run_migrations()


def resets() -> bool:
    """Return whether `make reset-database` asks to delete everything first."""
    return bool(context.get_x_argument(as_dictionary=True).get("reset"))


def check_reset(service: ServiceSettings, database: DatabaseSettings) -> None:
    """Refuse to delete what may matter.

    Raises:
        ConfigurationInvalid: the service is not in development, or its database is on another machine.
    """
    url = make_url(database.url)
    hosts = [url.host or "", *url.normalized_query.get("host", ())]
    far = [host for host in hosts if host not in LOCAL and not host.startswith("/")]
    if service.environment != "development" or far:
        where = f"on {far[0]}" if far else f"in {service.environment}"
        raise ConfigurationInvalid(f"a database {where} is not reset: only one of this machine, in development")


async def connect(settings: Settings) -> None:
    """Open the database as migrations need it.

    Raises:
        ConfigurationInvalid: it cannot be opened, or refuses what a revision does, which is then rolled back.
    """
    database = settings.of(DatabaseSettings)
    if resets():
        check_reset(settings.of(ServiceSettings), database)
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


def explained(error: CommandError) -> str:
    """Return what Alembic says, and what to do."""
    heads = context.script.get_heads()
    if len(heads) > 1:
        return autogenerate.several_heads(heads)
    if "not up to date" in str(error):
        return "the database lacks a revision: run `make migrate` first"
    if "locate revision" in str(error):
        return f"{error}: restore its file, or run `make reset-database` if this is your own database"
    return str(error)


def print_sql() -> None:
    """Print the SQL of revisions (`--sql`) and nothing else, without settings or a database."""
    context.configure(dialect_name=backend.DIALECT, target_metadata=Base.metadata, literal_binds=True)
    try:
        with context.begin_transaction():
            context.run_migrations()
    except CommandError as error:
        sys.exit(explained(error))


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
    except CommandError as error:
        sys.exit(refuse(ConfigurationInvalid(explained(error))))


if context.is_offline_mode():
    print_sql()
else:
    main()
