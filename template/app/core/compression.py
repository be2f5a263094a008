"""gzip for answers that gain from it: whole, of a kilobyte or more, not compressed already."""

import gzip

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LEAST = 1024
"""Bytes. Below it the headers eat the gain."""
LEVEL = 1
"""71 µs for 20 kB; level 9 takes three times that for a few percent."""
_PACKED = (b"image/", b"video/", b"audio/", b"font/", b"application/zip", b"application/gzip", b"text/event-stream")


class Compression:
    """Compresses whole answers; a stream goes through as it is. Only requests that accept gzip are sent through it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hold the head of the answer back until its first part tells whether it is whole."""
        head: Message | None = None

        async def send_compressed(message: Message) -> None:
            nonlocal head
            if message["type"] == "http.response.start":
                head = message
                return
            if head is not None:
                held, head = head, None
                if message["type"] == "http.response.body" and not message.get("more_body", False):
                    _compress(held, message)
                await send(held)
            await send(message)

        await self.app(scope, receive, send_compressed)


def _compress(head: Message, body: Message) -> None:
    content: bytes = body.get("body", b"")
    names = dict(head["headers"])
    if len(content) < LEAST or b"content-encoding" in names or names.get(b"content-type", b"").startswith(_PACKED):
        return
    body["body"] = gzip.compress(content, LEVEL, mtime=0)
    head["headers"] = [(name, value) for name, value in head["headers"] if name != b"content-length"]
    head["headers"] += [(b"content-length", str(len(body["body"])).encode()), (b"content-encoding", b"gzip")]
    for index, (name, value) in enumerate(head["headers"]):
        if name == b"etag" and not value.startswith(
            b"W/"
        ):  # the bytes differ now: a strong ETag would lie (RFC 9110, 8.8.1)
            head["headers"][index] = (name, b"W/" + value)
