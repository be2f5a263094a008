"""The errors that a refusal of the database becomes, for the caller and for `responses=` of a route."""

from app.core import errors


class AlreadyExists(errors.Conflict):
    """A resource with this value exists already."""

    code = "already_exists"
    message = "this value is taken"


class ReferenceUnknown(errors.ValidationFailed):
    """A referenced resource does not exist, or is still in use."""

    code = "reference_unknown"
    message = "refers to something that does not exist, or is still referred to"


class ValueMissing(errors.ValidationFailed):
    """A value is missing."""

    code = "value_missing"
    message = "must not be empty"


class ValueRefused(errors.ValidationFailed):
    code = "value_refused"
    message = "this value is not acceptable"


class DatabaseUnreachable(errors.ServiceUnavailable):
    """The database does not respond."""

    code = "database_unreachable"
    message = "the database does not answer, try again"


class DatabaseFailed(errors.ServiceUnavailable):
    """The database failed temporarily."""

    code = "database_failed"
    message = "the database could not do this right now, try again"


class DatabaseBusy(errors.ServiceUnavailable):
    """All database connections are in use."""

    code = "database_busy"
    message = "the database is busy, try again"
