"""A PostgreSQL of Debian, archived as a service's own files say."""

import os
import pwd
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.delivery.store import Store
from tests.delivery.tools import tool
from tests.live.service import BOUND

USER = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
"""The user that runs PostgreSQL, which refuses to be run by root."""


def until(condition: Callable[[], object], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


class Cluster:
    """A PostgreSQL of Debian, archived by the shipped configuration."""

    def __init__(self, root: Path, place: Path, store: Store | None = None) -> None:
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
        if store:
            shutil.copyfile(store.certificate, place / "store.pem")
            self._name(store)
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
            **({"PGBACKREST_REPO2_STORAGE_CA_FILE": str(place / "store.pem")} if store else {}),
            "PGBACKREST_LOG_PATH": str(place / "log"),
            "PGBACKREST_LOCK_PATH": str(place / "lock"),
            "PGBACKREST_SPOOL_PATH": str(place / "spool"),
        }

    def _shipped(self, name: str) -> str:
        return (self.root / "ops" / "backups" / name).read_text()

    def _name(self, store: Store) -> None:
        """Fill in the lines that the shipped file has for a store."""
        given = {"s3-endpoint": store.address, "s3-key": "key", "s3-key-secret": "secret", "cipher-pass": "passphrase"}
        file = self.place / "pgbackrest.conf"
        file.write_text(
            re.sub(
                r"^# repo2-(.+?)=(.*)$",
                lambda found: f"repo2-{found[1]}={given.get(found[1], found[2])}",
                file.read_text(),
                flags=re.MULTILINE,
            )
        )

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

    def lose(self, *folders: str) -> None:
        """Have it crash, and folders of it be as on a new machine."""
        self.stop()
        for folder in folders:
            shutil.rmtree(self.place / folder)
            self.run("mkdir", "--mode=700", folder)

    def ask(self, statement: str) -> str:
        """Run SQL."""
        return self.run("psql", "--quiet", "--no-psqlrc", "-At", "-c", statement).strip()

    def checksum(self) -> str:
        """Of all rows."""
        return self.ask("SELECT md5(string_agg(notes::text, '|' ORDER BY id)) FROM notes")
