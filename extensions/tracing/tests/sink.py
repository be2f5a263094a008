"""The sink: a server that takes spans as a collector does, reads them, and treats senders as a test tells it to."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BOUND = 30.0
"""Seconds in which anything that a test waits for has to happen, on a busy machine too."""
KINDS = ("", "internal", "server", "client", "producer", "consumer")


class Span(NamedTuple):
    """A span, as it has arrived. Ids in hex, `failed` by its status."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    failed: bool
    said: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[dict[str, Any]]


class Sink:
    """Keeps every span. While `awake` is cleared it takes them and never answers."""

    def __init__(self) -> None:
        self.status = 200
        self.answer = b""
        self.headers: dict[str, str] = {}
        self.awake = Event()
        self.awake.set()
        self.asked = 0
        self.caller = ""
        self.received: dict[str, str] = {}
        self.spans: list[Span] = []
        self.raw = b""
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                if not self.path.startswith("/v1/"):  # it is another service, for once
                    sink.caller = self.headers["traceparent"]
                    self.send_response(200)
                    self.end_headers()
                    return
                sink.asked += 1
                sink.received = {"path": self.path, **{name.lower(): value for name, value in self.headers.items()}}
                sink.awake.wait()
                sink.raw += body
                sink.spans += spans(body)
                self.send_response(sink.status)
                for name, value in sink.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sink.answer)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def wait(self, *names: str) -> list[Span]:
        """The last span of each name, as soon as there is one of each."""
        until(lambda: set(names) <= {span.name for span in self.spans})
        return [next(span for span in reversed(self.spans) if span.name == name) for name in names]

    def stop(self) -> None:
        """Refuse connections."""
        self.awake.set()
        self.server.shutdown()
        self.server.server_close()


class Server(ThreadingHTTPServer):
    """Senders that give up break their connections: that is the point here, and nothing to print."""

    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing."""


def spans(body: bytes) -> Iterator[Span]:
    """Yield the spans of a request of the protocol (https://opentelemetry.io/docs/specs/otlp/)."""
    for group in ExportTraceServiceRequest.FromString(body).resource_spans:
        resource = read(group.resource.attributes)
        for scope in group.scope_spans:
            for span in scope.spans:
                yield Span(
                    name=span.name,
                    kind=KINDS[span.kind],
                    trace_id=span.trace_id.hex(),
                    span_id=span.span_id.hex(),
                    parent_id=span.parent_span_id.hex(),
                    failed=span.status.code == span.status.STATUS_CODE_ERROR,
                    said=span.status.message,
                    attributes=read(span.attributes),
                    resource=resource,
                    events=[{"name": event.name, **read(event.attributes)} for event in span.events],
                )


def read(attributes: Any) -> dict[str, Any]:
    """Attributes as a mapping."""
    return {entry.key: getattr(entry.value, entry.value.WhichOneof("value")) for entry in attributes}


def until(found: Callable[[], object]) -> None:
    """Wait until `found` returns something."""
    deadline = time.monotonic() + BOUND
    while not found():
        assert time.monotonic() < deadline, "it has not happened"
        time.sleep(0.01)


@contextmanager
def sinking() -> Iterator[Sink]:
    """A sink, until the block ends."""
    sink = Sink()
    Thread(target=sink.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield sink
    finally:
        sink.stop()
