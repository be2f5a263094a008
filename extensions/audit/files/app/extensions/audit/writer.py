"""The writer: a thread that writes records in batches."""

import logging
import threading
from collections import deque
from itertools import islice

from app.extensions.audit.chain import START, Chain, Record

logger = logging.getLogger(__name__)

BATCH = 1000
PAUSE = 1.0
"""Seconds between two attempts during an outage of the disk."""
STOP_TIMEOUT = 10.0
"""Seconds that the stop of the service waits for the disk."""


class AuditWriter:
    """Takes records without waiting for the disk."""

    def __init__(self, chain: Chain, *, flush_interval: float, backlog: int) -> None:
        self.failing: OSError | None = None
        self.head = START
        self._chain = chain
        self._interval = flush_interval
        self._most = backlog
        self._pending: deque[Record] = deque()
        self._something = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)

    def open(self) -> None:
        """Find the end of the chain and start the thread, or raise `OSError`."""
        self.head = self._chain.append([])
        self._thread.start()

    def put(self, record: Record) -> None:
        if len(self._pending) >= self._most:
            _log(record)
            return
        self._pending.append(record)
        self._something.set()

    def stop(self) -> None:
        """Write pending records, and end. The rest goes to the log."""
        self._stopping.set()
        self._something.set()
        self._thread.join(STOP_TIMEOUT)
        while self._pending:
            _log(self._pending.popleft())

    @property
    def pending(self) -> int:
        return len(self._pending)

    def _run(self) -> None:
        while not (self._stopping.is_set() and not self._pending):
            self._something.wait()
            self._stopping.wait(self._interval)  # more may come
            self._something.clear()
            while self._pending:
                if not self._write():
                    if self._stopping.is_set():
                        return
                    self._stopping.wait(PAUSE)

    def _write(self) -> bool:
        batch = list(islice(self._pending, BATCH))
        try:
            self.head = self._chain.append(batch)
        except OSError as error:
            if self.failing is None:  # once for each outage
                logger.error("audit records cannot be written (%s): they wait", error)  # noqa: TRY400  # nothing to trace
            self.failing = error
            return False
        if self.failing is not None:
            logger.warning("audit records can be written again")
        self.failing = None
        for _ in batch:
            self._pending.popleft()
        return True


def _log(record: Record) -> None:
    logger.error("an audit record is not in the file", extra={"record": record})
