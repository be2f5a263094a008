"""The chain: records are appended by one process at a time, each sealed and linked to the one before."""

import fcntl
import hashlib
import hmac
import json
import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from app.core import context
from app.core.observability.logging import as_json
from app.core.observability.redaction import redact
from app.core.telemetry import BusinessEvent, SecurityEvent

Record = dict[str, Any]
_HASH = b',"hash":"'


class Head(NamedTuple):
    """The end of a chain: the number and the seal of its last record."""

    number: int
    seal: str

    def __str__(self) -> str:
        return f"{self.number}:{self.seal}"


START = Head(0, "0" * 64)
"""The link of the first record."""


def record_of(event: BusinessEvent | SecurityEvent) -> Record:
    """Return the record of an event, without secrets."""
    request = context.current()
    record = {"time": datetime.now(UTC).isoformat(), "kind": "business", "who": None, "client": None}
    if isinstance(event, SecurityEvent):
        record["kind"] = "security"
    if request is not None:
        record["who"], record["client"] = request.principal, request.client
        record["correlation_id"] = request.correlation_id
    told = {name: redact(value, name) for name, value in event._asdict().items() if value is not None}
    return {**record, **told}


def chained(records: Iterable[Record], head: Head, key: bytes) -> tuple[bytes, Head]:
    """Return the lines of records, each linked to the one before, and the new end."""
    lines = []
    for record in records:
        number = head.number + 1
        body = b'{"number":%d,"previous":"%b",' % (number, head.seal.encode()) + as_json(record)[1:-1]
        head = Head(number, seal(body, key))
        lines.append(body + _HASH + head.seal.encode() + b'"}\n')
    return b"".join(lines), head


def opened(line: bytes, key: bytes) -> tuple[Head, str]:
    """Return the place of a line in the chain and the seal of the one before, or raise `ValueError`."""
    body, mark, rest = line.rpartition(_HASH)
    if not mark or not hmac.compare_digest(rest, seal(body, key).encode() + b'"}\n'):
        raise ValueError("it is not what was sealed")
    record = json.loads(line)
    return Head(record["number"], record["hash"]), record["previous"]


def seal(body: bytes, key: bytes) -> str:
    """Return the seal: an HMAC with the key, or a plain checksum without one."""
    return hmac.digest(key, body, "sha256").hex() if key else hashlib.sha256(body).hexdigest()


logger = logging.getLogger(__name__)


class Chain:
    """One chain of records. A head file beside it holds its end, and is the lock between processes.

    The file of the records may be renamed: the next batch continues the chain in a new one.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self.beside = path.with_name(f"{path.name}.head")
        self._key = key
        self._known: tuple[int, int, Head] | None = None
        """The inode and size of the file, and the end of the chain, after the last write of this process."""

    def append(self, records: Sequence[Record]) -> Head:
        """Append records, all or none, or raise `OSError`."""
        with self.locked(fcntl.LOCK_EX) as head_file:
            descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
            try:
                noted, sealed = read_head(head_file, self._key)
                if noted != START and not sealed:  # as up to 0.4.0, or as no process has written it
                    logger.warning(
                        "the end of %s beside it has no seal: verify it, unless this is an update", self.path
                    )
                size, head = self._end(descriptor, noted)
                data, head = chained(records, head, self._key)
                try:
                    _write(descriptor, data)
                    os.fsync(descriptor)
                    if head != noted or not sealed:
                        os.pwrite(head_file, _as_text(head, self._key), 0)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(descriptor, size)  # else half of the batch would be written twice
                    raise
                self._known = (os.fstat(descriptor).st_ino, size + len(data), head)
            finally:
                os.close(descriptor)
        return head

    def restored(self, record: Record) -> Head:
        """Go on after the records that a restore put here. `record` gets the end that was noted before."""
        with self.locked(fcntl.LOCK_EX) as head_file:
            before = os.pread(head_file, 200, 0).decode(errors="replace").partition("\n")[0].lstrip("0")
            os.ftruncate(head_file, 0)  # so that the end is that of the records
        return self.append([{**record, "before": before}])

    @contextmanager
    def locked(self, how: int) -> Iterator[int]:
        """Hold the lock, and yield the head file."""
        descriptor = os.open(self.beside, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            fcntl.flock(descriptor, how)
            yield descriptor
        finally:
            os.close(descriptor)

    def _end(self, descriptor: int, noted: Head) -> tuple[int, Head]:
        """Return the size of the file and the end of the chain."""
        found = os.fstat(descriptor)
        if self._known and self._known[:2] == (found.st_ino, found.st_size):
            return found.st_size, self._known[2]
        size, line = _last_line(descriptor, found.st_size)
        if size < found.st_size:  # a process was killed, or the disk full, in the middle of it
            logger.warning("cut an unfinished record off %s", self.path)
            os.ftruncate(descriptor, size)
        if not line:
            return size, noted
        try:
            head, _ = opened(line, self._key)
        except (ValueError, LookupError):
            logger.error("the last record of %s is not what was sealed: verify it", self.path)  # noqa: TRY400  # expected
            return size, noted
        if noted.number < head.number:  # a process was killed between the two writes
            if noted == START:
                logger.warning("%s goes on after record %s, and had no end beside it", self.path, head.number)
            return size, head
        if noted != head:
            logger.error("%s does not end with record %s, which was its last: verify it", self.path, noted.number)
        return size, noted


def read_head(descriptor: int, key: bytes) -> tuple[Head, bool]:
    """Return the end in a head file, and true if it is sealed with the key."""
    text = os.pread(descriptor, 200, 0)
    number, _, mark = text.partition(b"\n")[0].decode(errors="replace").partition(":")
    whole = number.isdecimal() and len(mark) == len(START.seal)  # a full disk may store only a part
    head = Head(int(number), mark) if whole else START
    return head, hmac.compare_digest(text, _as_text(head, key))


def _as_text(head: Head, key: bytes) -> bytes:
    line = f"{head.number:020}:{head.seal}\n".encode()  # of constant length: it overwrites the last one
    return line + seal(b"head " + line, key).encode() + b"\n"


def _last_line(descriptor: int, size: int) -> tuple[int, bytes]:
    """Return the end of the last complete line, and the line."""
    tail, start = b"", size
    while start and tail.count(b"\n", 0, len(tail)) < 2:
        start = max(0, start - 65_536)
        tail = os.pread(descriptor, size - start, start)
    end = tail.rfind(b"\n") + 1
    return start + end, tail[tail.rfind(b"\n", 0, max(0, end - 1)) + 1 : end]


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
