"""The errors that an upload may meet."""

import errno

from app.core.errors import (
    BadRequest,
    BodyTooLarge,
    NotFound,
    ServiceError,
    ServiceUnavailable,
    UnsupportedMediaType,
    ValidationFailed,
)


class FormExpected(UnsupportedMediaType):
    """The body is not a form with files."""

    message = "the body has to be multipart/form-data"


class FormUnreadable(BadRequest):
    """The form breaks the rules of multipart/form-data."""

    message = "the form cannot be read"


class FilesMissing(ValidationFailed):
    """The form has no file."""

    message = "there is no file in the form"


class FilesTooMany(BodyTooLarge):
    """The form has too many parts."""

    message = "there are too many files in the form"


class FileNameRefused(ValidationFailed):
    """The file name is invalid, too long, or has a path."""

    message = "the name of the file has to be 1 to 150 visible characters without a path"


class FileTypeRefused(UnsupportedMediaType):
    """The extension is not allowed, or the content does not match it."""

    message = "files of this type are not taken"


class FileEmpty(ValidationFailed):
    """The file has no content."""

    message = "the file is empty"


class FileTooLarge(BodyTooLarge):
    """The file is too large."""

    message = "the file is too large"


class FilesRefused(ValidationFailed):
    """None of several files was stored."""

    message = "none of the files was stored"


class UploadNotFound(NotFound):
    """The file does not exist."""

    message = "there is no such file"


class StorageFull(ServiceError):
    """The storage is full (507, RFC 4918)."""

    status = 507
    message = "there is no room for the file"


class StorageFailed(ServiceUnavailable):
    """The storage failed."""

    message = "files cannot be stored or read right now, try again"


REFUSALS = (FileNameRefused, FileTypeRefused, FileEmpty, FileTooLarge)
"""What is wrong with one file, and says nothing about the others."""


def of_disk(error: OSError) -> ServiceError:
    """What an error of the disk means to the caller."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return StorageFull() if full else StorageFailed()
