"""Runs Alembic as `make migrate` does: as a command, with the URL in its environment."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def environment(url: str) -> dict[str, str]:
    """The environment of a command on a database, without the settings of the machine that it runs on."""
    inherited = {name: value for name, value in os.environ.items() if "__" not in name.strip("_")}
    given = {"DATABASE__URL": url, "SERVICE__ENVIRONMENT": "test", "ENV_FILE": os.devnull, "SECRETS_DIR": os.devnull}
    return {**inherited, **given}


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `alembic` on a database."""
    return subprocess.run(  # noqa: S603  # our own command
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env=environment(url),
        capture_output=True,
        text=True,
        check=False,
    )


def migrate(url: str) -> None:
    """Bring a database to the newest revision."""
    done = alembic(url, "upgrade", "head")
    assert done.returncode == 0, done.stdout + done.stderr
