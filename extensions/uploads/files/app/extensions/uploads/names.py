"""Names: what a client calls a file is told and never used; what it is stored under is ours."""

import re
import secrets
import unicodedata
from urllib.parse import quote

from app.extensions.uploads.errors import FileNameRefused, UploadNotFound

LONGEST = 150


def new_id() -> str:
    """A name to store something under, which nobody can guess."""
    return secrets.token_hex(16)


def checked_id(upload_id: str) -> str:
    """An id that is one of ours: nothing else becomes part of a path.

    Raises:
        UploadNotFound: it is none.
    """
    if not re.fullmatch("[0-9a-f]{32}", upload_id):
        raise UploadNotFound
    return upload_id


def checked(name: bytes) -> str:
    """The client's name, fit to be shown.

    Raises:
        FileNameRefused: it is not fit.
    """
    try:
        text = unicodedata.normalize("NFC", name.decode())
    except UnicodeDecodeError:
        raise FileNameRefused from None
    text = "".join(
        " " if unicodedata.category(one) == "Zs" else one for one in text
    )  # macOS has narrow spaces in names
    # Neither line ends nor what turns the direction of writing, so that exe.gpj looks like jpg.exe, are printable.
    if not 0 < len(text) <= LONGEST or not text.isprintable() or text.strip(" .") != text:
        raise FileNameRefused
    if any(mark in text for mark in '/\\:*?"<>|'):
        raise FileNameRefused
    return text


def extension(name: str) -> str:
    """What stands behind the last dot."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def attachment(name: str) -> str:
    """The header by which a browser saves the file and does not show it (RFC 6266)."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
