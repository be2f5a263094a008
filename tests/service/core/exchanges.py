"""One exchange as a server has it with the service, message by message: for what a client cannot send or see."""

from collections.abc import Awaitable, Callable, Iterable

import anyio
from starlette.types import ASGIApp, Message

Headers = Iterable[tuple[bytes, bytes]]


class Answer:
    """A response of the service."""

    def __init__(self, messages: list[Message]) -> None:
        self.messages = messages
        self.status: int = messages[0]["status"] if messages else 0
        self.headers: dict[bytes, bytes] = dict(messages[0]["headers"]) if messages else {}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


async def exchange(
    app: ASGIApp,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Headers = (),
    query: bytes = b"",
    receive: Callable[[], Awaitable[Message]] | None = None,
    on_send: Callable[[Message], None] = lambda _: None,
) -> Answer:
    """Send one request, and return everything that comes back. `receive` hands its body over."""
    messages: list[Message] = []
    received = False

    async def nothing() -> Message:
        nonlocal received
        if received:
            await anyio.sleep_forever()  # until the client goes away, which it does not
        received = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        on_send(message)
        messages.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": [(b"host", b"service"), *headers],
        "client": ("127.0.0.1", 123),
        "server": ("service", 80),
        "root_path": "",
    }
    await app(scope, receive or nothing, send)
    return Answer(messages)
