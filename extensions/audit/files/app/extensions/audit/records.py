"""Records: who did what, when and within which request, as one line that is sealed and tied to the line before."""

import hashlib
import hmac
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from app.core import context
from app.core.observability.redaction import redact
from app.core.telemetry import BusinessEvent, SecurityEvent

Record = dict[str, Any]
_HASH = b',"hash":"'


class Head(NamedTuple):
    """The end of a chain: the number of its last record, and its seal."""

    number: int
    seal: str

    def __str__(self) -> str:
        return f"{self.number}:{self.seal}"


START = Head(0, "0" * 64)
"""What the first record is tied to."""


def of(event: BusinessEvent | SecurityEvent) -> Record:
    """What is to be remembered of an event. Secrets are not."""
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
    """The lines of some records, each tied to the one before, and the new end."""
    lines = []
    for record in records:
        number = head.number + 1
        body = b'{"number":%d,"previous":"%b",' % (number, head.seal.encode()) + _encoded(record)[1:-1]
        head = Head(number, seal(body, key))
        lines.append(body + _HASH + head.seal.encode() + b'"}\n')
    return b"".join(lines), head


def opened(line: bytes, key: bytes) -> tuple[Head, str]:
    """What a line says: its own place in the chain, and the seal of the one before.

    Raises:
        ValueError: it is no record, or not the one that was sealed.
    """
    body, mark, rest = line.rpartition(_HASH)
    if not mark or not hmac.compare_digest(rest, seal(body, key).encode() + b'"}\n'):
        raise ValueError("it is not what was sealed")
    record = json.loads(line)
    return Head(record["number"], record["hash"]), record["previous"]


def seal(body: bytes, key: bytes) -> str:
    """A checksum that nobody can make without the key, where there is one."""
    return hmac.digest(key, body, "sha256").hex() if key else hashlib.sha256(body).hexdigest()


def _encoded(record: Record) -> bytes:
    try:
        return orjson.dumps(record, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # an integer beyond 64 bits, half a surrogate pair
        return json.dumps(record, default=str, skipkeys=True).encode()
