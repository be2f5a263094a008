"""The fingerprint of a request: a digest that is computed while the body arrives, and that a retry has too."""

import hashlib
import json
from collections.abc import Iterable
from email.message import Message

from starlette.types import Scope

# Headers that make another request of the same body (RFC 9110, 8 and 13). Not Accept: it only changes the answer.
COUNTED = frozenset(
    {
        "content-encoding",
        "content-language",
        "content-range",
        "content-type",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
    }
)


class Fingerprint:
    """The query, the relevant headers and the content of one request."""

    def __init__(self, scope: Scope, counted: Iterable[str] = ()) -> None:
        names = COUNTED.union(name.lower() for name in counted)
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
        self._headers = sorted((name, value.strip()) for name, value in found if name in names)
        boundary = None
        for place, (name, value) in enumerate(self._headers):
            if name == "content-type":
                boundary, kind = _media_type(value)
                self._headers[place] = (name, kind)
        query = scope.get("query_string", b"")
        self._content = hashlib.sha256(query)
        self._parts = _Parts(boundary, query) if boundary else None

    def update(self, data: bytes) -> None:
        self._content.update(data)
        if self._parts:
            self._parts.update(data)

    @property
    def former(self) -> str:
        """Return the fingerprint of releases up to 0.3.2: of the query and the body."""
        return self._content.hexdigest()

    def digest(self) -> str:
        content = self._parts.digest() if self._parts else self._content.hexdigest()
        return hashlib.sha256(json.dumps([self._headers, content]).encode()).hexdigest()


class _Parts:
    """The parts of a multipart body without the boundary, which differs in each attempt (RFC 2046, 5.1.1)."""

    def __init__(self, boundary: str, query: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._rest = b"\r\n"  # the first delimiter is at the start of a line, too
        self._whole = hashlib.sha256(hashlib.sha256(query).digest())
        self._part = hashlib.sha256()

    def update(self, data: bytes) -> None:
        *ended, rest = (self._rest + data).split(self._delimiter)
        for end in ended:
            self._part.update(end)
            self._whole.update(self._part.digest())
            self._part = hashlib.sha256()
        kept = len(rest) - len(self._delimiter) + 1  # the rest may be the start of a delimiter
        self._part.update(rest[: max(kept, 0)])
        self._rest = rest[max(kept, 0) :]

    def digest(self) -> str:
        part, whole = self._part.copy(), self._whole.copy()
        part.update(self._rest)
        whole.update(part.digest())
        return whole.hexdigest()


def _media_type(value: str) -> tuple[str | None, str]:
    """Return the boundary of a multipart body, and the normalized media type without it."""
    message = Message()
    message["content-type"] = value
    boundary = message.get_boundary() if message.get_content_maintype() == "multipart" else None
    parameters = {name.lower(): str(given) for name, given in (message.get_params() or [])[1:]}
    if "charset" in parameters:
        parameters["charset"] = parameters["charset"].lower()
    if boundary:
        parameters.pop("boundary", None)
    return boundary, json.dumps([message.get_content_type(), sorted(parameters.items())])
