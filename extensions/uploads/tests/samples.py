"""Small files of each kind, hostile ones among them, and the forms that carry them."""

import io
import json
import zipfile
import zlib
from collections.abc import AsyncIterator, Sequence

BOUNDARY = "a-boundary-of-the-tests"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def packed(*names: str) -> bytes:
    """A ZIP with such entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return file.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")


PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", bytes.fromhex("00000001000000010800000000"))
    + _chunk(b"IDAT", zlib.compress(b"\x00\x00"))
    + _chunk(b"IEND", b"")
)
GIF = b"GIF89a\x01\x00\x01\x00\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
PDF = b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
GOOD = {
    "a.png": PNG,
    "a.PNG": PNG,
    "a.gif": GIF,
    "a.pdf": PDF,
    "a.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(5000) + b"\xff\xd9",
    "a.jpeg": b"\xff\xd8\xff\xe1 Exif",
    "a.webp": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "a.mp4": b"\x00\x00\x00\x18ftypmp42",
    "a.zip": packed("page.html", "a.pdf"),
    "a.docx": packed("[Content_Types].xml", "word/document.xml"),
    "a.xlsx": packed("xl/workbook.xml"),
    "a.txt": "prices in €, <html> told of\r\n".encode() * 3000,
    "a.csv": b"a;b\n1;2\n",
    "a.json": json.dumps({"a": 1}).encode(),
}
"""Files that are accepted, by name."""
BAD = {
    "script.png": b"<script>alert(1)</script>",
    "page.html": b"<html></html>",
    "program.exe": b"MZ\x90\x00",
    "program.pdf": b"MZ\x90\x00" + PDF,
    "late.pdf": b"\n" * 20 + PDF,
    "bomb.zip.png": packed("bomb"),
    "renamed.png": GIF,
    "archive.docx": packed("bomb"),
    "sheet.docx": packed("xl/workbook.xml"),
    "both.gif": GIF + packed("Applet.class"),
    "both.png": PNG[:40] + b"<sCript>alert(1)</script>" + PNG[40:],
    "both.jpg": b"\xff\xd8\xff\xe0\x00\x20JFIF %PDF-1.7",
    "binary.txt": b"text\x00text",
    "latin.txt": "Zürich".encode("latin-1"),
    "half.txt": "€".encode()[:2],
    "none": PNG,
    "png": PNG,
}
"""Files that are refused: their type is not accepted, differs from the one of the name, or is two types at once."""


def form(files: Sequence[tuple[str | bytes, bytes]]) -> bytes:
    """A form with these files, byte for byte: names are sent as they are."""
    parts = b""
    for name, content in files:
        raw = name.encode() if isinstance(name, str) else name
        parts += b'--%b\r\nContent-Disposition: form-data; name="files"; filename="%b"\r\n' % (BOUNDARY.encode(), raw)
        parts += b"Content-Type: image/png\r\n\r\n" + content + b"\r\n"
    return parts + f"--{BOUNDARY}--\r\n".encode()


async def dribble(body: bytes, size: int) -> AsyncIterator[bytes]:
    """A body in parts of a size, without a length."""
    for start in range(0, len(body), size):
        yield body[start : start + size]
