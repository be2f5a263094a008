"""A PostgreSQL of Debian, archived as a service's own files say."""

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.delivery.tools import tool
from tests.live.service import BOUND

USER = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
"""Who runs PostgreSQL: it refuses to be run by root."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Cluster:
    """A PostgreSQL of Debian, archived by the shipped configuration."""

    def __init__(self, root: Path, place: Path) -> None:
        self.root, self.place = root, place
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
        assert found, "PostgreSQL is missing: install it with `apt-get install postgresql`"
        self.bin = found[0].parent
        self.data = place / "data"
        (name,) = [line[1:-1] for line in self._shipped("pgbackrest.conf").splitlines() if line.startswith("[my")]
        self.stanza = name
        for folder in ("repository", "log", "lock", "spool", "socket"):
            (place / folder).mkdir()
        for file in ("pgbackrest.conf", "postgresql.conf"):
            (place / file).write_text(self._shipped(file))
        for path in [place, *place.rglob("*")]:
            shutil.chown(path, USER)
        self.environment = {
            "PATH": f"{self.bin}:{Path(tool('pgbackrest')).parent}:{os.environ['PATH']}",
            "PGHOST": str(place / "socket"),
            "PGDATABASE": "postgres",
            "PGUSER": "postgres",
            "PGBACKREST_CONFIG": str(place / "pgbackrest.conf"),
            "PGBACKREST_PG1_PATH": str(self.data),
            "PGBACKREST_PG1_SOCKET_PATH": str(place / "socket"),
            "PGBACKREST_PG1_USER": "postgres",
            "PGBACKREST_REPO1_PATH": str(place / "repository"),
            "PGBACKREST_LOG_PATH": str(place / "log"),
            "PGBACKREST_LOCK_PATH": str(place / "lock"),
            "PGBACKREST_SPOOL_PATH": str(place / "spool"),
        }

    def _shipped(self, name: str) -> str:
        return (self.root / "ops" / "backups" / name).read_text()

    def run(self, *command: str, **variables: str) -> str:
        """Run a command as the server's user."""
        done = subprocess.run(
            command,
            env={**self.environment, **variables},
            user=USER if os.geteuid() == 0 else None,
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def make(self) -> None:
        """A new server that takes the shipped settings."""
        self.run("initdb", "--pgdata", str(self.data), "--username=postgres", "--auth=trust", "--no-sync")
        more = f"include '{self.place / 'postgresql.conf'}'\nlisten_addresses = ''\n"
        more += f"unix_socket_directories = '{self.place / 'socket'}'\n"
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(more)

    def start(self) -> None:
        """Start it, and wait until it takes writes."""
        self.run("pg_ctl", "--pgdata", str(self.data), "--log", str(self.place / "log" / "server"), "--wait", "start")
        until(lambda: self.ask("SELECT pg_is_in_recovery()") == "f", "it never left recovery")

    def stop(self) -> None:
        """End it as a crash would."""
        self.run("pg_ctl", "--pgdata", str(self.data), "--mode=immediate", "--wait", "stop")

    def ask(self, statement: str) -> str:
        """Run SQL."""
        return self.run("psql", "--quiet", "--no-psqlrc", "-At", "-c", statement).strip()

    def checksum(self) -> str:
        """Of all rows."""
        return self.ask("SELECT md5(string_agg(notes::text, '|' ORDER BY id)) FROM notes")
