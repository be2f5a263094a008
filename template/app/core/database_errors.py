"""The errors that a database error becomes, to raise and for `responses=` of a route."""

from app.core.data.errors import (
    AlreadyExists,
    DatabaseFailed,
    DatabaseUnreachable,
    ReferenceUnknown,
    ValueMissing,
    ValueRefused,
)
from app.core.data.pool import DatabaseBusy

__all__ = [
    "AlreadyExists",
    "DatabaseBusy",
    "DatabaseFailed",
    "DatabaseUnreachable",
    "ReferenceUnknown",
    "ValueMissing",
    "ValueRefused",
]
