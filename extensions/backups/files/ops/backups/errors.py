"""The errors of the tool, by kind: each has an exit status of its own, which docs/backups.md lists."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class BackupError(Exception):
    """Something that is said in one line, or in one for each of several."""

    status = 1


class Failures(list[BackupError]):
    """Errors of parts of the work, which do not hinder the other parts. They are raised in the end."""

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Go on after an error."""
        try:
            yield
        except BackupError as error:
            self.append(error)

    def lines(self) -> list[str]:
        """Return each message once."""
        return list(dict.fromkeys(str(argument) for error in self for argument in error.args))

    def raised(self) -> None:
        """Raise the first error with the messages of all, if there is one."""
        if self:
            raise type(self[0])(*self.lines()) from self[0]


class BackupRefused(BackupError):
    """The backup is damaged or changed, was made with another key, or is of another version or service."""

    status = 3


class BackupUnknown(BackupError):
    """There is no such backup."""

    status = 4


class InUse(BackupError):
    """Another run is at work, or the service runs on the database that is to be replaced."""

    status = 5


class StoreFailed(BackupError):
    """A store cannot be reached, or refuses."""

    status = 6


class DiskFailed(BackupError):
    """A disk is full, or cannot be written to."""

    status = 7


class ToolMissing(BackupError):
    """A program is missing, or older than the server."""

    status = 8


class DatabaseFailed(BackupError):
    """The database does not answer, or does not do its part."""

    status = 9


class LastGoodBackup(BackupError):
    """The backups that would stay cannot be restored, and those that would go can."""

    status = 10


class NotConfirmed(BackupError):
    """The restore was not confirmed."""

    status = 11


@contextmanager
def disk(place: Path) -> Iterator[None]:
    """Tell of a disk that fails in one line.

    Raises:
        DiskFailed: something below `place` could not be read or written.
    """
    try:
        yield
    except OSError as error:
        room = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        way_out = "make room" if room else "let this user read and write there"
        raise DiskFailed(f"{place}: {error.strerror or error}: {way_out}; nothing was changed") from error
