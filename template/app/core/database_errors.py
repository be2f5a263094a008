"""The errors that a refusal of the database becomes, for the caller and for `responses=` of a route."""

from app.core import errors


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


class DatabaseBusy(errors.ServiceUnavailable):
    """Every connection of the pool is in use."""

    code = "database_busy"
    message = "the database is busy, try again"
