"""What a request asks for, as a digest that is made while its body arrives: a retry has the same one."""

import hashlib
import json
from collections.abc import Iterable
from email.message import Message

from starlette.types import Scope

# What makes another request of the same body (RFC 9110, 8 and 13). Not Accept and its like: they ask for another form
# of the answer, and what is carried out is the same.
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
    """The query, the headers that count, and the content of one request."""

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
        """Take more of the body."""
        self._content.update(data)
        if self._parts:
            self._parts.update(data)

    @property
    def former(self) -> str:
        """The fingerprint that releases up to 0.3.2 have stored: the query and the body, byte by byte."""
        return self._content.hexdigest()

    def digest(self) -> str:
        """The fingerprint of what has arrived."""
        content = self._parts.digest() if self._parts else self._content.hexdigest()
        return hashlib.sha256(json.dumps([self._headers, content]).encode()).hexdigest()


class _Parts:
    """The parts of a multipart body without the boundary, which each attempt chooses anew (RFC 2046, 5.1.1).

    Of the body itself it holds no more than the length of a delimiter.
    """

    def __init__(self, boundary: str, query: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary.encode("latin-1", "replace")
        self._rest = b"\r\n"  # the first delimiter stands at the start of a line, too
        self._whole = hashlib.sha256(hashlib.sha256(query).digest())
        self._part = hashlib.sha256()

    def update(self, data: bytes) -> None:
        *ended, rest = (self._rest + data).split(self._delimiter)
        for end in ended:
            self._part.update(end)
            self._whole.update(self._part.digest())
            self._part = hashlib.sha256()
        kept = len(rest) - len(self._delimiter) + 1  # from here on it may be the beginning of a delimiter
        self._part.update(rest[: max(kept, 0)])
        self._rest = rest[max(kept, 0) :]

    def digest(self) -> str:
        part, whole = self._part.copy(), self._whole.copy()
        part.update(self._rest)
        whole.update(part.digest())
        return whole.hexdigest()


def _media_type(value: str) -> tuple[str | None, str]:
    """The boundary of a multipart body, and the media type without it, in one spelling."""
    message = Message()
    message["content-type"] = value
    boundary = message.get_boundary() if message.get_content_maintype() == "multipart" else None
    parameters = {name.lower(): str(given) for name, given in (message.get_params() or [])[1:]}
    if "charset" in parameters:
        parameters["charset"] = parameters["charset"].lower()
    if boundary:
        parameters.pop("boundary", None)
    return boundary, json.dumps([message.get_content_type(), sorted(parameters.items())])
