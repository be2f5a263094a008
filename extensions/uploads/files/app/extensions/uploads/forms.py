"""Forms with files, parsed while they arrive: only the headers of a part are in memory."""

from collections import deque
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.extensions.uploads.checks import FilesTooMany, FormExpected, FormUnreadable


class Part:
    """One part of a form. Its content is read once, before the next part."""

    def __init__(self, form: "Form") -> None:
        self._form = form
        self._over = False
        self.too_large = False
        """Set by the reader: the rest of the part is not read."""
        self.headers: dict[bytes, bytes] = {}

    @property
    def filename(self) -> bytes | None:
        """Return the file name, or None if the part is not a file."""
        _, options = parse_options_header(self.headers.get(b"content-disposition"))
        return options.get(b"filename")

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the rest of the content."""
        while not self._over:
            data = await self._form.next_data()
            self._over = data is None
            if data:
                yield data


class Form:
    """A multipart/form-data body (RFC 7578), from a stream."""

    def __init__(self, content_type: str, stream: AsyncIterator[bytes], *, most_parts: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise FormExpected
        self._stream = stream
        self._most_parts = most_parts
        self._events: deque[tuple[str, bytes]] = deque()
        self._name = self._value = b""
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_header_field": self._on_name,
                    "on_header_value": self._on_value,
                    "on_header_end": self._on_header,
                    "on_headers_finished": lambda: self._events.append(("part", b"")),
                    "on_part_data": lambda data, start, end: self._events.append(("data", data[start:end])),
                    "on_part_end": lambda: self._events.append(("end", b"")),
                    "on_end": lambda: self._events.append(("whole", b"")),
                },
            )
        except FormParserError as error:
            raise FormUnreadable from error

    async def parts(self) -> AsyncIterator[Part]:
        """Yield each part, and skip the rest of the one before. An unreadable form, or one with more parts, raises."""
        number, part = 0, Part(self)
        while True:
            event, data = await self._next()
            if event == "header":
                name, _, value = data.partition(b":")
                part.headers[name.lower()] = value
            elif event == "part":
                number += 1
                if number > self._most_parts:
                    raise FilesTooMany(f"there are more than {self._most_parts} parts in the form")
                yield part
                part = Part(self)
            elif event == "whole":
                return

    async def next_data(self) -> bytes | None:
        """Return more of the current part, or None at its end."""
        event, data = await self._next()
        return data if event == "data" else None

    async def _next(self) -> tuple[str, bytes]:
        while not self._events:
            try:
                self._parser.write(await anext(self._stream))
            except StopAsyncIteration:
                raise FormUnreadable("the form ends too early") from None
            except FormParserError as error:
                raise FormUnreadable from error
        return self._events.popleft()

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        self._events.append(("header", self._name + b":" + self._value))
        self._name = self._value = b""
