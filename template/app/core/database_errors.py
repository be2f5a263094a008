"""What a database error means to the caller: the status and the field, never the SQL; alike on every database."""

import re
from collections.abc import Iterable

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Index, Table
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.schema import ColumnCollectionConstraint

from app.core import errors
from app.core.data import engine
from app.core.data.pool import DatabaseBusy, DatabaseFault
from app.core.errors import ServiceError
from app.core.models import Base


class AlreadyExists(errors.Conflict):
    """A resource with this value exists already."""

    message = "this value is taken"


class ReferenceUnknown(errors.ValidationFailed):
    """A referenced resource does not exist, or is still in use."""

    message = "refers to something that does not exist, or is still referred to"


class ValueMissing(errors.ValidationFailed):
    """A value is missing."""

    message = "must not be empty"


class ValueRefused(errors.ValidationFailed):
    """The database refuses this value."""

    message = "this value is not acceptable"


class DatabaseUnreachable(errors.ServiceUnavailable):
    """The database does not respond."""

    message = "the database does not answer, try again"


class DatabaseFailed(errors.ServiceUnavailable):
    """The database failed temporarily."""

    message = "the database could not do this right now, try again"


_MEANING: dict[str, type[ServiceError]] = {
    "unique": AlreadyExists,
    "foreign_key": ReferenceUnknown,
    "not_null": ValueMissing,
    "check": ValueRefused,
    "value": ValueRefused,
    "unavailable": DatabaseFailed,
}


def as_service_error(error: SQLAlchemyError) -> ServiceError | None:
    """The error for the caller, or nothing where it is a mistake of ours (and so a 500)."""
    if isinstance(error, PoolTimeout):
        known: ServiceError = DatabaseBusy()
    elif isinstance(error, StaleDataError):
        known = errors.PreconditionFailed()
    elif isinstance(error, DBAPIError):
        fault = engine.fault(error) or (DatabaseFault("unavailable") if error.connection_invalidated else None)
        if fault is None:
            return None
        meaning = _MEANING[fault.kind]
        message = meaning.message
        fields = [
            {"field": field, "message": message, "code": meaning.code} for field in fields_of(fault, error.statement)
        ]
        known = meaning(errors=fields)
    else:
        return None
    known.__cause__ = error
    return known


def fields_of(fault: DatabaseFault, statement: str | None) -> list[str]:
    """The columns that a fault is about, from the names of constraints that the tables declare."""
    if fault.columns:
        return list(fault.columns)
    for table in Base.metadata.tables.values():
        named = (
            item
            for item in (*table.constraints, *table.indexes)
            if isinstance(item, ColumnCollectionConstraint | Index)
        )
        for constraint in named:
            if fault.constraint and constraint.name == fault.constraint:
                if isinstance(constraint, CheckConstraint):
                    words = set(re.findall(r"\w+", str(constraint.sqltext)))
                    return [column.name for column in table.columns if column.name in words]
                return _names(constraint.columns)
    if fault.kind == "foreign_key" and statement:
        return _references(statement)
    return []


def _references(statement: str) -> list[str]:
    """Where the database does not say which foreign key failed: the ones that the statement may have broken."""
    match = re.match(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+\"?(\w+)", statement, re.IGNORECASE)
    table = Base.metadata.tables.get(match[2]) if match else None
    if match is None or table is None:
        return []
    if match[1].upper() != "DELETE FROM":
        return [
            name for key in _foreign_keys(table) for name in _names(key.columns) if re.search(rf"\b{name}\b", statement)
        ]
    others = (key for other in Base.metadata.tables.values() for key in _foreign_keys(other))
    return [name for key in others if key.referred_table is table for name in _names(key.columns)]


def _foreign_keys(table: Table) -> list[ForeignKeyConstraint]:
    return sorted(table.foreign_key_constraints, key=lambda key: str(key.name))


def _names(columns: Iterable[Column[object]]) -> list[str]:
    return [column.name for column in columns]
