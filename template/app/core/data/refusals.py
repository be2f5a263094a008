"""The error for the caller of a refusal: its status and its field, never the SQL; alike on every database."""

import re

from sqlalchemy import CheckConstraint, Index
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError
from sqlalchemy.schema import ColumnCollectionConstraint

from app.core import database_errors as refused
from app.core.data import engine
from app.core.data.pool import DatabaseFault
from app.core.errors import PreconditionFailed, ServiceError
from app.core.models import Base

_MEANING: dict[str, type[ServiceError]] = {
    "unique": refused.AlreadyExists,
    "foreign_key": refused.ReferenceUnknown,
    "not_null": refused.ValueMissing,
    "check": refused.ValueRefused,
    "value": refused.ValueRefused,
    "unavailable": refused.DatabaseFailed,
}


def as_service_error(error: SQLAlchemyError) -> ServiceError | None:
    """Return the error for the caller, or nothing if it is a mistake of the service, and so a 500."""
    known: ServiceError
    if isinstance(error, PoolTimeout):
        known = refused.DatabaseBusy()
    elif isinstance(error, StaleDataError):
        known = PreconditionFailed()
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
