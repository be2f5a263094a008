"""The rules for a file: its name, its type and its size, and the errors of an upload."""

import codecs
import errno
import re
import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Self
from urllib.parse import quote

from pydantic import AfterValidator, Field, SecretStr, model_validator

from app.core import errors
from app.core.settings import CommaSeparated, Group, ProjectPath, address


class FormExpected(errors.UnsupportedMediaType):
    code = "form_expected"
    message = "the body has to be multipart/form-data"


class FormUnreadable(errors.BadRequest):
    code = "form_unreadable"
    message = "the form cannot be read"


class FilesMissing(errors.ValidationFailed):
    code = "files_missing"
    message = "there is no file in the form"


class FilesTooMany(errors.BodyTooLarge):
    code = "files_too_many"
    message = "there are too many files in the form"


class FileNameRefused(errors.ValidationFailed):
    """The file name is invalid, too long, or has a path."""

    code = "file_name_refused"
    message = "the name of the file has to be 1 to 150 visible characters without a path"


class FileTypeRefused(errors.UnsupportedMediaType):
    """The extension is not allowed, or the content does not match it."""

    code = "file_type_refused"
    message = "files of this type are not accepted"


class FileEmpty(errors.ValidationFailed):
    code = "file_empty"
    message = "the file is empty"


class FileTooLarge(errors.BodyTooLarge):
    code = "file_too_large"
    message = "the file is too large"


class FilesRefused(errors.ValidationFailed):
    code = "files_refused"
    message = "none of the files was stored"


class UploadNotFound(errors.NotFound):
    code = "upload_not_found"
    message = "there is no such file"


class StorageFull(errors.ServiceError):
    """The storage is full (507, RFC 4918)."""

    code = "storage_full"
    status = 507
    message = "there is no room for the file"


class StorageFailed(errors.ServiceUnavailable):
    """The storage failed."""

    code = "storage_failed"
    message = "files cannot be stored or read right now, try again"


REFUSALS = (FileNameRefused, FileTypeRefused, FileEmpty, FileTooLarge)
"""Errors of one file, which do not concern the others."""
FORM_ERRORS = (FormExpected, FormUnreadable, FilesMissing, FilesTooMany, FilesRefused)


def of_disk(error: OSError) -> errors.ServiceError:
    """Return the error for the caller of an error of the disk."""
    full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return StorageFull() if full else StorageFailed()


LONGEST = 150


def new_id() -> str:
    return secrets.token_hex(16)


def checked_id(upload_id: str) -> str:
    """Return an id that may be part of a path, or raise `UploadNotFound`."""
    if not re.fullmatch("[0-9a-f]{32}", upload_id):
        raise UploadNotFound
    return upload_id


def checked_name(name: bytes) -> str:
    """Return the client's file name, or raise `FileNameRefused` if it is not safe to show."""
    try:
        text = unicodedata.normalize("NFC", name.decode())
    except UnicodeDecodeError:
        raise FileNameRefused from None
    # macOS has narrow spaces in names.
    text = "".join(" " if unicodedata.category(one) == "Zs" else one for one in text)
    # Line ends and marks that change the direction of writing (exe.gpj looks like jpg.exe) are not printable.
    if not 0 < len(text) <= LONGEST or not text.isprintable() or text.strip(" .") != text:
        raise FileNameRefused
    if any(mark in text for mark in '/\\:*?"<>|'):
        raise FileNameRefused
    return text


def extension(name: str) -> str:
    """Return the part after the last dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def attachment(name: str) -> str:
    """Return the header that lets a browser save the file and not show it (RFC 6266).

    Old clients take the plain name, in which full-width quotes and slashes would be real ones.
    """
    ascii_name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"[^\w .()+,@~-]", "_", ascii_name).strip(" .") or "file"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


HEAD = 1024
"""Bytes at the start that are inspected: readers of PDF and browsers search for a format there."""
TAIL = 65_557
"""Bytes at the end that may hold the directory of a ZIP, which makes any file one."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: its media type and, unless it is text, the start of its content."""

    media_type: str
    head: bytes = b""
    holds_others: bool = False
    """True if other formats may be inside."""


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
    """Checks the type of one file while it arrives. Only its two ends are in memory."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._head = b""
        self._tail = b""
        self._text = None if kind.head else codecs.getincrementaldecoder("utf-8")()

    def feed(self, data: bytes) -> None:
        """Check the next bytes, or raise `FileTypeRefused`."""
        if self._text is not None:
            self._check_text(self._text, data)
            return
        if len(self._head) < HEAD:
            self._head = (self._head + data)[:HEAD]
            if len(self._head) == HEAD:
                self._check_head()
        self._tail = (self._tail + data)[-TAIL:]

    def finish(self) -> None:
        """Check the whole file, or raise `FileTypeRefused`, also if it is of two kinds."""
        if self._text is not None:
            self._check_text(self._text, b"", final=True)
            return
        if len(self._head) < HEAD:
            self._check_head()
        if not self._kind.holds_others and _ZIP_DIRECTORY in self._tail:
            raise FileTypeRefused("the content is of two types at once")

    def _check_text(self, decoder: codecs.IncrementalDecoder, data: bytes, *, final: bool = False) -> None:
        try:
            decoder.decode(data, final)
        except UnicodeDecodeError:
            raise FileTypeRefused("the content is not text in UTF-8") from None
        if len(data.translate(None, _NO_TEXT)) < len(data):
            raise FileTypeRefused("the content is not text")

    def _check_head(self) -> None:
        if not re.match(self._kind.head, self._head, re.DOTALL):
            raise FileTypeRefused("the content does not match the extension")
        if not self._kind.holds_others and _FOREIGN.search(self._head, 1):
            raise FileTypeRefused("the content is of two types at once")


def known(types: tuple[str, ...]) -> tuple[str, ...]:
    """Return these extensions, or raise a `ValueError` that names an unknown one."""
    if unknown := sorted(set(types) - set(KINDS)):
        raise ValueError(f"{', '.join(unknown)} is unknown: choose from {', '.join(KINDS)}")
    return types


class UploadsSettings(Group):
    """The accepted files, and their storage."""

    group: ClassVar[str] = "uploads"
    types: Annotated[CommaSeparated, AfterValidator(known)] = Field(
        ("pdf", "png", "jpg", "jpeg", "gif", "webp", "txt", "csv"),
        description="Accepted extensions. Also known: `mp4`, `zip`, `docx`, `xlsx`, `json`.",
    )
    file_limit: int = Field(10_485_760, ge=1, description="The largest file in bytes.")
    files: int = Field(10, ge=1, le=1000, description="The most files in one request.")
    receive_timeout: float = Field(300.0, gt=0, description="Seconds for the files of a request to arrive.")
    directory: ProjectPath = Field(Path("var/uploads"), description="The folder of the files, without a bucket.")
    bucket: str | None = Field(None, description="The bucket of an S3-compatible store.")
    prefix: str = Field("uploads/", pattern=r"^([\w.-]+/)*$", description="The prefix of names in the bucket.")
    endpoint: Annotated[str | None, address({"http", "https"}, "https://s3.example.com")] = Field(
        None, description="The store's URL; unset: Amazon's."
    )
    region: str = Field("us-east-1", min_length=1, description="The bucket's region.")
    access_key: str | None = Field(
        None,
        description="The key's id; unset: `AWS_` variables or the machine's role.",
    )
    secret_key: SecretStr | None = Field(None, description="The key's secret.")
    timeout: float = Field(10.0, gt=0, description="Seconds for one request to the store.")

    @model_validator(mode="after")
    def _a_whole_key(self) -> Self:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("UPLOADS__ACCESS_KEY and UPLOADS__SECRET_KEY go together: set both, or neither")
        return self
