"""gzip for responses that gain from it: whole, of a kilobyte or more, not compressed already."""

import gzip
import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST = 1024
"""Bytes. A smaller body does not gain more than the headers cost."""
LEVEL = 1
"""71 µs for 20 kB; level 9 takes three times that for a few percent."""
_PACKED = (b"image/", b"video/", b"audio/", b"font/", b"application/zip", b"application/gzip", b"text/event-stream")
_NO_GZIP = re.compile(rb"gzip *; *q=0(?:\.0*)? *(?:,|$)")
_DESCRIBES_BYTES = frozenset(
    {b"content-encoding", b"content-range", b"content-digest", b"repr-digest", b"digest", b"content-md5"}
)


class Compression:
    """Compresses whole responses, if the client accepts gzip; a stream goes through as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the start of a response back until its body, if it may be compressed."""
        # HEAD has the length of a body, and no body.
        if scope["type"] != "http" or scope["method"] == "HEAD" or not _accepts_gzip(scope):
            await self.app(scope, receive, send)
            return
        head: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start" and _may_compress(message):
                head = message
                return
            if head is not None:
                held, head = head, None
                if message["type"] == "http.response.body" and _is_whole(held, message):
                    _compress(held, message)
                await send(held)
            await send(message)

        await self.app(scope, receive, send_compressed)


def _accepts_gzip(scope: Scope) -> bool:
    for name, value in scope["headers"]:
        if name == b"accept-encoding":
            return b"gzip" in value and _NO_GZIP.search(value) is None
    return False


def _may_compress(head: Message) -> bool:
    """Return true for the start of a whole response that gains. A stream has no length, and does not wait."""
    headers = dict(head.get("headers", ()))
    return (
        int(headers.get(b"content-length", 0)) >= LEAST
        and head["status"] != 206  # a part counts the bytes of the file, not of its gzip
        and not headers.keys() & _DESCRIBES_BYTES
        and not headers.get(b"content-type", b"").startswith(_PACKED)
        and b"no-transform" not in headers.get(b"cache-control", b"").lower()
    )


def _is_whole(head: Message, body: Message) -> bool:
    """Return true if the body is all that the start announces: a file may shrink while it is sent."""
    announced = int(dict(head["headers"])[b"content-length"])
    return not body.get("more_body", False) and len(body.get("body", b"")) == announced


def _compress(head: Message, body: Message) -> None:
    """Replace the body, and the headers that describe its bytes (RFC 9110, 8.8.1: a strong ETag names them)."""
    body["body"] = gzip.compress(body.get("body", b""), LEVEL, mtime=0)
    headers = [(b"content-length", str(len(body["body"])).encode()), (b"content-encoding", b"gzip")]
    for name, value in head["headers"]:
        if name == b"etag" and not value.startswith(b"W/"):
            headers.append((name, b"W/" + value))
        elif name not in {b"content-length", b"accept-ranges"}:  # ranges are of the file, not of its gzip
            headers.append((name, value))
    head["headers"] = headers
