"""The writer: all files, a few times a second, in a thread of its own, so that no request ever waits for the disk."""

import errno
import logging
import os
import threading
from collections.abc import Mapping

from app.core.errors import ConfigurationInvalid
from app.extensions.log_files.file import LogFile
from app.extensions.log_files.settings import STREAMS, LogFilesSettings
from app.extensions.log_files.tidying import Tidying

logger = logging.getLogger(__name__)

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk may have room again: no reason not to start."""
PATIENCE = 5.0
"""Seconds that the end of the service waits for a disk that does not answer."""


class Writer:
    """The files and the two threads that look after them."""

    def __init__(self, settings: LogFilesSettings) -> None:
        self.directory = settings.directory.absolute()
        self.trouble = ""
        """Why the last batch of a file could not be written."""
        self.files: Mapping[str, LogFile] = {
            stream: LogFile(self.directory / f"{stream}.log", size=settings.size(stream), backlog=settings.backlog)
            for stream in STREAMS
        }
        self._backlog = settings.backlog
        self._pause = settings.flush_interval
        self._tidying = Tidying(self.directory, {stream: settings.days(stream) for stream in STREAMS})
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log files: writing", daemon=True)

    def start(self) -> None:
        """Open the files.

        Raises:
            ConfigurationInvalid: they cannot be written, for another reason than a full disk.
        """
        try:
            self.directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            if not os.access(self.directory, os.W_OK | os.X_OK):  # else nothing could be set aside
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.directory))
            for file in self.files.values():
                file.open()
        except OSError as error:
            if error.errno not in FULL:
                raise ConfigurationInvalid(
                    f"LOG_FILES__DIRECTORY: cannot write {error.filename} ({error.strerror}): "
                    "name a folder that this user can write"
                ) from error
        self._thread.start()
        self._tidying.start()

    def close(self) -> None:
        """Write what is left, and stop."""
        self._closed.set()
        self._thread.join(PATIENCE)
        self._tidying.close(PATIENCE)

    def flush(self) -> None:
        """Write each file's batch. What cannot be written is said once, and tried again until it can."""
        trouble = ""
        for file in self.files.values():
            try:
                if file.flush():
                    self._tidying.wake()
            except OSError as error:
                trouble = f"{file.path}: {error.strerror}"
        if trouble and not self.trouble:
            logger.error("log files cannot be written (%s): %d lines of each wait for it", trouble, self._backlog)
        elif not trouble:
            lost = sum(file.lost for file in self.files.values())
            if self.trouble or lost:
                logger.warning("log files are written again: %d lines are lost", lost)
            for file in self.files.values():
                file.lost = 0
        self.trouble = trouble

    def _run(self) -> None:
        while not self._closed.wait(self._pause):
            self.flush()
        self.flush()
        for file in self.files.values():
            file.close()
