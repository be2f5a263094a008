"""Runs in a service: writes a revision by autogenerate for each case, applies it, and prints the rows before and after.

Reads `{"name", "url", "before", "rows", "after", "edit", "marked", "next"}` for each case as JSON from its standard
input, or `{"name", "url", "steps"}` with models by their names: then it runs these commands.
"""

import asyncio
import json
import os
import re
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

from alembic.config import main
from sqlalchemy import MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import app.main  # noqa: F401  # imported once here, and not by each command

MODELS = """
from datetime import date, datetime
from decimal import Decimal
from sqlalchemy import *
from sqlalchemy.orm import Mapped, mapped_column
from app.core.models import Base, Timestamp
"""
CONFIGURATION = "[alembic]\nscript_location = {place}/migrations\nprepend_sys_path = {root}\npath_separator = os\n"
NEXT = """
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    {body}


def downgrade() -> None:
    pass
"""


class Case:
    """Models that change, with a database and a chain of revisions of their own."""

    def __init__(self, given: dict[str, Any], place: Path) -> None:
        self.given = given
        self.place = place
        shutil.copytree("migrations", place / "migrations", ignore=shutil.ignore_patterns("versions", "__pycache__"))
        self.versions = place / "migrations" / "versions"
        self.versions.mkdir()
        (place / "alembic.ini").write_text(CONFIGURATION.format(place=place, root=Path.cwd()))

    def alembic(self, models: str, *arguments: str) -> tuple[int, str]:
        """Run one command in a process of its own. Returns its exit status and what it says."""
        said = self.place / "said"
        child = os.fork()
        if child == 0:
            with said.open("w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            os._exit(self._command(models, *arguments))
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.read_text()

    def _command(self, models: str, *arguments: str) -> int:
        os.environ["DATABASE__URL"] = self.given["url"]
        status: int | str | None = 0
        try:
            exec(MODELS + self.given[models], {"__name__": "app.features.case"})  # noqa: S102
            main(argv=["-c", str(self.place / "alembic.ini"), *arguments])
        except SystemExit as stopped:
            status = stopped.code
        except BaseException:  # noqa: BLE001  # a fork must not go on with its parent's work
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        return status if isinstance(status, int) else 1

    def must(self, models: str, *arguments: str) -> str:
        """Run a command that cannot fail. Returns what it says."""
        status, said = self.alembic(models, *arguments)
        assert status == 0, said
        return said

    def run(self) -> dict[str, Any]:
        """Make the tables, fill them, change the models, and go up and down again."""
        self.must("before", "revision", "--autogenerate", "--message", "before", "--rev-id", "0001")
        self.must("before", "upgrade", "head")
        asyncio.run(execute(self.given["url"], self.given["rows"]))
        found: dict[str, Any] = {"before": self.rows()}
        found["wrote"] = self.must("after", "revision", "--autogenerate", "--message", "after", "--rev-id", "0002")
        if not list(self.versions.glob("0002*.py")):  # nothing differs: the case writes its revision by hand
            self.must("after", "revision", "--message", "after", "--rev-id", "0002")
        found["revision"] = self.edit()
        found["status"], found["said"] = self.alembic("after", "upgrade", "head")
        found["after"] = self.rows()
        if found["status"] == 0:
            self.must("after", "check")
            found["undid"] = self.must("after", "downgrade", "0001")
            found["back"] = self.rows()
        return found

    def steps(self) -> dict[str, Any]:
        """Run commands, each with its models. Returns what became of them, and the last text of each revision."""
        done = [self.alembic(models, *arguments) for models, *arguments in self.given["steps"]]
        return {"done": done, "files": {path.name: path.read_text() for path in self.versions.glob("*.py")}}

    def edit(self) -> str:
        """Change what autogenerate has written, as its author would, and add the next revision.

        Returns what autogenerate has written.
        """
        (revision,) = self.versions.glob("0002*.py")
        written = content = revision.read_text()
        if self.given["marked"]:
            content = content.replace("\n\n\ndef upgrade", "\nloses_data = True\n\n\ndef upgrade")
        for function, body in self.given["edit"].items():
            content, changed = re.subn(
                rf"(def {function}\(\).*\n)(?:[ \t].*\n|\n(?=[ \t]))*", rf"\1    {body}\n", content
            )
            assert changed == 1, content
        revision.write_text(content)
        if self.given["next"]:
            (self.versions / "0003.py").write_text(NEXT.format(body=self.given["next"]))
        return written

    def rows(self) -> dict[str, list[dict[str, str | None]]]:
        """Every row of every table."""
        return asyncio.run(rows(self.given["url"]))


async def rows(url: str) -> dict[str, list[dict[str, str | None]]]:
    """Every row of every table, by the names of its columns, each value as text."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        tables = MetaData()
        await connection.run_sync(tables.reflect)
        found = {}
        for name in sorted(tables.tables):
            got = (await connection.execute(text(f'SELECT * FROM "{name}" ORDER BY 1'))).mappings()
            found[name] = [{key: shown(value) for key, value in row.items()} for row in got]
    await engine.dispose()
    return found


def shown(value: object) -> str | None:
    """A value as text."""
    return None if value is None else str(value)


async def execute(url: str, statements: list[str]) -> None:
    """Run statements in one transaction."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


if __name__ == "__main__":
    results = {}
    for given in json.load(sys.stdin):
        place = Path(sys.argv[1], given["name"])
        place.mkdir()
        case = Case(given, place)
        results[given["name"]] = case.steps() if "steps" in given else case.run()
    json.dump(results, sys.stdout)
