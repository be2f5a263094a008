"""PostgreSQL's own programs, and the address that they and the driver take. No password is on a command line."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

from sqlalchemy import URL, make_url

from app.core.data.engine import DatabaseSettings
from app.core.data.url import is_pooled
from app.core.observability.redaction import secret_name
from ops.backups.errors import DatabaseFailed, ToolMissing


def url_of(settings: DatabaseSettings, database: str | None = None) -> URL:
    """The address as libpq and asyncpg take it, whose only secret is its password.

    Raises:
        DatabaseFailed: there is another one, or it is the URL of PgBouncer.
    """
    url = make_url(settings.url).set(drivername="postgresql")
    if is_pooled(settings.url):
        raise DatabaseFailed("DATABASE__URL: backups do not go through PgBouncer: give them the server's own URL")
    if password := url.query.get("password"):
        url = url.set(password=str(password)).difference_update_query(["password"])
    if secret := next((name for name in url.query if secret_name(name)), None):
        raise DatabaseFailed(f"DATABASE__URL: {secret} would be on a command line: remove it")
    return url.set(database=database) if database else url


def database_of(settings: DatabaseSettings) -> str:
    """The name of the service's database."""
    url = url_of(settings)
    return url.database or url.username or "postgres"


def elsewhere(settings: DatabaseSettings) -> str:
    """A database that is always there and is not the service's: nothing renames what it is connected to."""
    return "template1" if database_of(settings) == "postgres" else "postgres"


@contextmanager
def program(
    command: list[str], *, reads: bool, settings: DatabaseSettings | None = None, database: str | None = None
) -> Iterator[IO[bytes]]:
    """Run one of PostgreSQL's programs. Yields what it reads, or what it writes, and waits for its end.

    Raises:
        DatabaseFailed: it failed; its last line says why.
    """
    variables = dict(os.environ)
    if settings:
        url = url_of(settings, database)
        variables |= {"PGPASSWORD": url.password} if url.password else {}
        without = url._replace(password=None)  # to `URL.set` None is no change
        command = [*command, "--no-password", f"--dbname={without.render_as_string()}"]
    given, taken = (subprocess.PIPE, subprocess.DEVNULL) if reads else (subprocess.DEVNULL, subprocess.PIPE)
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdin=given, stdout=taken, stderr=said, env=variables) as process,  # noqa: S603
    ):
        pipe = process.stdin or process.stdout
        if pipe is None:
            raise RuntimeError(f"{command[0]} has no pipe")
        try:
            with suppress(BrokenPipeError), pipe:  # it has ended before its time, and says below why
                yield pipe
        except BaseException:
            process.kill()
            raise
        if process.wait():
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines() or [f"exit status {process.returncode}"]
            raise DatabaseFailed(lines[-1][:300])


def check_version(name: str, server: str) -> None:
    """Check that a program is installed, and as new as a server.

    Raises:
        ToolMissing: it is not.
    """
    try:
        said = subprocess.run([name, "--version"], capture_output=True, text=True, check=True).stdout  # noqa: S603
    except (OSError, subprocess.CalledProcessError):
        raise ToolMissing(
            f"{name} is missing: install PostgreSQL's client programs, {server.split('.')[0]} or newer"
        ) from None
    found = re.search(r"\d+(\.\d+)?", said)
    if found and float(found[0]) // 1 < int(server.split(".")[0]):
        raise ToolMissing(f"{name} is {found[0]} and the server is {server}: install a {name} as new as the server")
