"""The chain of migrations, and the service on a database of another revision."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import text

from app.core.data import engine as backend
from app.core.data.engine import DatabaseSettings
from app.core.data.migrations import heads
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from tests.conftest import ROOT, NewDatabase, Start, alembic, environment

REVISION = '''"""Something that can be made only once."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {down}


def upgrade() -> None:
    op.create_table("test_table_{revision}", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("test_table_{revision}")
'''


# One process: starting one for each command would take most of the time. Each copy is a replica.
COMMANDS = """
import os, sys
import app.main, sqlalchemy.ext.asyncio
from alembic.config import main

copies, *commands = sys.argv[1:]
children = []
for _ in range(int(copies)):
    child = os.fork()
    if child == 0:
        for command in commands:
            main(argv=command.split())
        sys.stdout.flush()
        os._exit(0)  # tidying up would copy all memory that it shares with the others
    children.append(child)
sys.exit(sum(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))
"""


def run(url: str, *commands: str, copies: int = 1) -> str:
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS, str(copies), *commands],
        cwd=ROOT,
        env=environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def own_database_url(new_database: NewDatabase) -> Iterator[str]:
    """One that no other test of the core shares."""
    with new_database() as url:
        yield url


@pytest.mark.timeout(300)
def test_the_chain_goes_up_down_and_up_and_agrees_with_the_models(own_database_url: str) -> None:
    said = run(own_database_url, "downgrade base", "upgrade head", "check")
    assert "No new upgrade operations detected" in said


def test_a_command_does_not_read_the_settings_of_the_machine(
    own_database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("DATABASE__POOL_SIZE=many\n")
    monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))
    monkeypatch.setenv("DATABASE__POOL_OVERFLOW", "many")
    assert alembic(own_database_url, "current").returncode == 0


@pytest.mark.timeout(300)
def test_ten_replicas_may_migrate_at_once(own_database_url: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "migrations", tmp_path / "migrations", ignore=shutil.ignore_patterns("versions"))
    (tmp_path / "migrations" / "versions").mkdir()
    for revision, down in (("a", None), ("b", "a"), ("c", "b")):
        content = REVISION.format(revision=revision, down=repr(down))
        (tmp_path / "migrations" / "versions" / f"{revision}.py").write_text(content)
    configuration = tmp_path / "alembic.ini"
    configuration.write_text(f"[alembic]\nscript_location = {tmp_path}/migrations\nprepend_sys_path = {ROOT}\n")
    run(own_database_url, "downgrade base")
    run(own_database_url, f"-c {configuration} upgrade head", copies=10)
    assert "c (head)" in run(own_database_url, f"-c {configuration} current")


async def test_the_service_refuses_a_database_of_another_revision(
    start: Start, own_database_url: str, configured: Callable[..., Settings]
) -> None:
    engine = backend.create(configured(database={"url": own_database_url}).of(DatabaseSettings))
    async with engine.begin() as connection:
        await connection.execute(text("DROP TABLE IF EXISTS alembic_version"))
        await connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        await connection.execute(text("INSERT INTO alembic_version VALUES ('from-the-future')"))
    await engine.dispose()
    with pytest.raises(ConfigurationInvalid, match=r"at revision from-the-future .*: deploy the version that has it"):
        await start(database={"url": own_database_url})


def test_the_head_is_what_nothing_replaces(tmp_path: Path) -> None:
    for revision, down in (("a", None), ("b", "a"), ("c", "a")):
        (tmp_path / f"{revision}.py").write_text(REVISION.format(revision=revision, down=repr(down)))
    (tmp_path / "merged.py").write_text('revision: str = "m"\ndown_revision = ("b", "c")\n')
    assert (
        heads(tmp_path) == {"m"} == set(ScriptDirectory(str(tmp_path), version_locations=[str(tmp_path)]).get_heads())
    )
    assert heads(tmp_path / "none") == set()
