"""Database errors for the caller: the status and the field, never the SQL; alike on every database."""

import re

from sqlalchemy import CheckConstraint, Index
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
    """Something with this value exists already."""

    code = "already_exists"
    message = "this value is taken"


class ReferenceUnknown(errors.ValidationFailed):
    """It refers to something that does not exist, or that still is referred to."""

    code = "reference_unknown"
    message = "refers to something that does not exist, or is still referred to"


class ValueMissing(errors.ValidationFailed):
    """A value is missing."""

    code = "value_missing"
    message = "must not be empty"


class ValueRefused(errors.ValidationFailed):
    """The database does not take this value."""

    code = "value_refused"
    message = "this value is not acceptable"


class DatabaseUnreachable(errors.ServiceUnavailable):
    """The database does not answer."""

    code = "database_unreachable"
    message = "the database does not answer, try again"


class DatabaseFailed(errors.ServiceUnavailable):
    """The database could not do it right now."""

    code = "database_failed"
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
    """Return the error for the caller, or nothing if it is a mistake of the service, and so a 500."""
    known: ServiceError
    if isinstance(error, PoolTimeout):
        known = DatabaseBusy()
    elif isinstance(error, StaleDataError):
        known = errors.PreconditionFailed()
    elif isinstance(error, DBAPIError):
        fault = engine.fault(error) or (DatabaseFault("unavailable") if error.connection_invalidated else None)
        if fault is None:
            return None
        meaning = _MEANING[fault.kind]
        entry = {"message": meaning.message, "code": meaning.code}
        known = meaning(errors=[{"field": field, **entry} for field in _fields(fault)])
    else:
        return None
    known.__cause__ = error
    return known


def _fields(fault: DatabaseFault) -> list[str]:
    """Return the columns of a fault, from the constraints that the tables declare."""
    if fault.columns or fault.constraint is None:
        return list(fault.columns)
    for table in Base.metadata.tables.values():
        for constraint in (*table.constraints, *table.indexes):
            if not isinstance(constraint, ColumnCollectionConstraint | Index) or constraint.name != fault.constraint:
                continue
            if isinstance(constraint, CheckConstraint):
                words = set(re.findall(r"\w+", str(constraint.sqltext)))
                return [column.name for column in table.columns if column.name in words]
            return [column.name for column in constraint.columns]
    return []
