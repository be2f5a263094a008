"""What a file is, by its content: each extension that may be taken, with the signature that it promises."""

import codecs
import re
from dataclasses import dataclass

from app.extensions.uploads.errors import FileTypeRefused

HEAD = 1024
"""Bytes at the start that are looked at: readers of PDF and browsers look no further for a format."""
TAIL = 65_557
"""Bytes at the end in which a ZIP has its directory, and by which any file is taken for one."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: its media type and, unless it is text, how its content starts."""

    media_type: str
    head: bytes = b""
    holds_others: bool = False
    """Whether other formats may be inside."""


_ZIP = rb"PK\x03\x04"
_OFFICE = _ZIP + rb".{26}(?:\[Content_Types\]\.xml|_rels/|docProps/|%b/)"
_OPEN_XML = "application/vnd.openxmlformats-officedocument"
KINDS = {
    "pdf": Kind("application/pdf", rb"%PDF-\d"),
    "png": Kind("image/png", rb"\x89PNG\r\n\x1a\n"),
    "jpg": Kind("image/jpeg", rb"\xff\xd8\xff"),
    "jpeg": Kind("image/jpeg", rb"\xff\xd8\xff"),
    "gif": Kind("image/gif", rb"GIF8[79]a"),
    "webp": Kind("image/webp", rb"RIFF.{4}WEBP"),
    "mp4": Kind("video/mp4", rb".{4}ftyp"),
    "zip": Kind("application/zip", _ZIP, holds_others=True),
    "docx": Kind(f"{_OPEN_XML}.wordprocessingml.document", _OFFICE % b"word", holds_others=True),
    "xlsx": Kind(f"{_OPEN_XML}.spreadsheetml.sheet", _OFFICE % b"xl", holds_others=True),
    "txt": Kind("text/plain; charset=utf-8"),
    "csv": Kind("text/csv; charset=utf-8"),
    "json": Kind("application/json"),
}
_FOREIGN = re.compile(rb"%PDF-|<(?:!doctype|html|script|svg|\?php)", re.IGNORECASE)
_ZIP_DIRECTORY = b"PK\x05\x06"
_NO_TEXT = bytes([*range(9), *range(14, 32), 127])


class Inspector:
    """Looks at one file while it comes in, and keeps no more of it than its two ends."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._head = b""
        self._tail = b""
        self._text = None if kind.head else codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> None:
        """The next bytes of the file.

        Raises:
            FileTypeRefused: it is not of its kind.
        """
        if self._text is not None:
            try:
                self._text.decode(data)
            except UnicodeDecodeError:
                raise FileTypeRefused("the content is no text in UTF-8") from None
            if len(data.translate(None, _NO_TEXT)) < len(data):
                raise FileTypeRefused("the content is no text")
            return
        if len(self._head) < HEAD:
            self._head = (self._head + data)[:HEAD]
            if len(self._head) == HEAD:
                self._check_head()
        self._tail = (self._tail + data)[-TAIL:]

    def finish(self) -> None:
        """The file is whole.

        Raises:
            FileTypeRefused: it is not of its kind, or of another one besides.
        """
        if self._text is not None:
            try:
                self._text.decode(b"", final=True)
            except UnicodeDecodeError:
                raise FileTypeRefused("the content is no text in UTF-8") from None
            return
        if len(self._head) < HEAD:
            self._check_head()
        if not self._kind.holds_others and _ZIP_DIRECTORY in self._tail:
            raise FileTypeRefused("the content is of two types at once")

    def _check_head(self) -> None:
        if not re.match(self._kind.head, self._head, re.DOTALL):
            raise FileTypeRefused("the content is not what the extension promises")
        if not self._kind.holds_others and _FOREIGN.search(self._head, 1):
            raise FileTypeRefused("the content is of two types at once")
