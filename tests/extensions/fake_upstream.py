"""Another service, in a process of its own: it answers as a test has it, and can be frozen, killed and started again.

`python fake_upstream.py PORT FOLDER`, where the folder has the answers, and gets what was asked for.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

BOUND = 40.0
"""Seconds until it has to answer, on a busy machine too."""


class FakeUpstream:
    """The process, as the tests see it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.answers: dict[str, dict[str, Any]] = {}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "asked").touch()
        self.answer("/up")
        self.start()

    def start(self) -> None:
        """Start it, where it was before if it was, and wait until it answers."""
        with (self.folder / "log").open("a") as log:
            command = [sys.executable, __file__, str(self.port), str(self.folder)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + BOUND
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def answer(self, path: str, body: Any = None, *, status: int = 200, held: bool = False) -> None:
        """Set the response of a path; with `held`, it sends none until the test sets another one."""
        text = body if isinstance(body, str) else json.dumps(body)
        self.answers[path] = {"status": status, "body": text, "held": held}
        new = self.folder / "answers.new"
        new.write_text(json.dumps(self.answers))
        new.replace(self.folder / "answers")

    def asked(self) -> Counter[str]:
        """Return the number of requests for each path."""
        return Counter((self.folder / "asked").read_text().split())

    def freeze(self) -> None:
        """Let it stand: connections are taken, and no one answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(timeout=BOUND)


@contextmanager
def serve(folder: Path) -> Iterator[FakeUpstream]:
    """Serve a fake upstream until the block ends."""
    fake_upstream = FakeUpstream(folder)
    try:
        yield fake_upstream
    finally:
        fake_upstream.kill()


class Handler(BaseHTTPRequestHandler):
    """The process from the inside."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together: apart, the second waits 40 ms for an acknowledgement
    folder: Path

    def do_GET(self) -> None:
        """Answer as the folder says."""
        path = self.path.partition("?")[0]
        asked = os.open(self.folder / "asked", os.O_APPEND | os.O_WRONLY)
        os.write(asked, f"{path}\n".encode())  # threads and processes write whole lines
        os.close(asked)
        while (answer := self._answer(path))["held"]:
            time.sleep(0.02)
        content = answer["body"].encode()
        self.send_response(answer["status"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _answer(self, path: str) -> dict[str, Any]:
        answers = json.loads((self.folder / "answers").read_text())
        found: dict[str, Any] = answers.get(path, {"status": 404, "body": "{}", "held": False})
        return found

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """Many connections at once, and none that keeps the process."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """Say nothing: callers that give up break their connections, and that is the point."""


if __name__ == "__main__":
    Handler.folder = Path(sys.argv[2])
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
