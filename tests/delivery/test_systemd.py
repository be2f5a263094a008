"""install.sh: it installs, upgrades one instance after the other, takes back what does not work, and removes."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Render
from tests.delivery.machine import PLAIN, Machine, checkout
from tests.delivery.tools import tool
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import BOUND, ORDERS, order

OTHERS = {"my-service-frontend.service", "my-service-frontend.timer", "my-service-two@.service", "my-services.timer"}
"""Units of another service."""
LIFE = pytest.mark.xdist_group("systemd")
NEXT = '''"""Add notes."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))


def downgrade() -> None:
    op.drop_table("notes")
'''


@pytest.fixture
def machine(rendered: Render, tmp_path: Path) -> Iterator[Machine]:
    """A machine that the plain service is not installed on yet."""
    with Machine(tmp_path / "root", checkout(rendered(**PLAIN), tmp_path / "checkout")) as found:
        found.settings(LIFECYCLE__DRAIN="0")
        yield found


@pytest.fixture(scope="module")
def installed(rendered: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One that it is installed on, for the tests of an hour of its life: each begins where the one before has ended."""
    folder = tmp_path_factory.mktemp("machine")
    with Machine(folder / "root", checkout(rendered(**PLAIN), folder / "checkout")) as found:
        found.settings(LIFECYCLE__DRAIN="0")
        found.units.mkdir(parents=True)
        for unit in OTHERS:
            (found.units / unit).write_text("[Service]\nExecStart=/bin/true\n")
        found.install("--domain", "localhost")
        yield found


def restarts(machine: Machine) -> list[str]:
    """Return the units that have been restarted since the last look."""
    return [call.removeprefix("restart ").removesuffix(".service") for call in machine.calls() if "restart " in call]


def versions(machine: Machine) -> tuple[str, str]:
    """Return the versions that the two instances report."""
    return machine.version("8000"), machine.version("8001")


@LIFE
def test_it_serves_and_another_run_changes_only_what_has_changed(installed: Machine) -> None:
    instances = ["my-service-migrate", "my-service@8000", "my-service@8001"]
    assert restarts(installed) == [*instances, "reload-or-restart caddy"]
    first = installed.release()
    assert first.startswith("0.1.0-")
    for port in ("8000", "8001"):
        placed = httpx2.post(f"http://127.0.0.1:{installed.ports[port]}{ORDERS}", json=order(port), timeout=BOUND)
        assert placed.status_code == 201
    assert (installed.root / "var/lib/my-service/service.db").exists()
    assert (installed.etc / "secrets").stat().st_mode & 0o777 == 0o700

    running = installed.pids()
    assert "nothing has changed" in installed.install()
    assert (installed.pids(), restarts(installed)) == (running, [])

    read = {"PROXY_TIMEOUT": "50", "UPSTREAMS": "127.0.0.1:8000 127.0.0.1:8001"}
    installed.settings(LIFECYCLE__DRAIN="0", SERVICE__VERSION="9.9.9", SERVICE__NAME="shop", **read)
    installed.secret("HEALTH__KEY", "a key that operators have")
    installed.install()
    proxy = (installed.units / "caddy.service.d/my-service.conf").read_text().splitlines()
    given = [f'Environment="{name}={value}"' for name, value in read.items()]
    assert proxy[2:] == ["TimeoutStopSec=40", "Environment=DOMAIN=localhost", *given]
    assert versions(installed) == ("9.9.9", "9.9.9")
    assert installed.release() == first
    outside = {"X-Forwarded-For": "203.0.113.9", "X-Health-Key": "a key that operators have"}
    health = f"http://127.0.0.1:{installed.ports['8001']}/health"
    assert httpx2.get(health, headers=outside, timeout=BOUND).status_code == 200
    installed.settings(LIFECYCLE__DRAIN="0")


@LIFE
def test_a_release_that_does_not_become_ready_is_taken_back(installed: Machine) -> None:
    before, other = installed.release(), installed.pids()["my-service@8001.service"]
    installed.edit("ops/systemd/app@.service", "SERVER__KEEP_ALIVE=75", "SERVER__KEEP_ALIVE=-1")
    (installed.checkout / "migrations/versions/0002_notes.py").write_text(NEXT)
    said = installed.install(status=1)
    installed.edit("ops/systemd/app@.service", "SERVER__KEEP_ALIVE=-1", "SERVER__KEEP_ALIVE=75")
    assert "SERVER__KEEP_ALIVE: Input should be greater than or equal to 0" in said
    assert "taking the database back to 0001" in said
    assert said.splitlines()[-1] == f"install.sh: {before} serves again"
    assert installed.release() == before
    assert installed.version() == "0.1.0"
    assert installed.pids()["my-service@8001.service"] == other


@LIFE
def test_a_migration_that_fails_restarts_nothing(installed: Machine) -> None:
    before, running = installed.release(), installed.pids()
    broken = NEXT.replace('op.create_table("notes", sa.Column("id", sa.Integer, primary_key=True))', "raise ValueError")
    (installed.checkout / "migrations/versions/0002_notes.py").write_text(broken)
    assert f"{before} serves again" in installed.install(status=1)
    assert (installed.release(), installed.pids()) == (before, running)


@LIFE
@pytest.mark.full
def test_an_old_release_that_does_not_start_either_is_not_said_to_serve(installed: Machine) -> None:
    before, revision = installed.release(), installed.checkout / "migrations/versions/0002_notes.py"
    installed.edit("ops/systemd/app@.service", "SERVER__KEEP_ALIVE=75", "SERVER__KEEP_ALIVE=-1")
    revision.write_text(NEXT.replace('op.drop_table("notes")', "raise ValueError"))
    said = installed.install(status=1)
    assert "the database stays where it is" in said
    assert said.splitlines()[-1].startswith(f"install.sh: {before} is in place again, and does not start either")
    assert "serves again" not in said
    installed.edit("ops/systemd/app@.service", "SERVER__KEEP_ALIVE=-1", "SERVER__KEEP_ALIVE=75")
    revision.write_text(NEXT)
    installed.install()
    installed.install("--rollback", "--downgrade")
    assert (installed.release(), versions(installed)) == (before, ("0.1.0", "0.1.0"))


@LIFE
def test_an_upgrade_can_be_taken_back_and_the_service_be_removed(installed: Machine) -> None:
    installed.edit("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"')
    (installed.checkout / "migrations/versions/0002_notes.py").write_text(NEXT)
    installed.install()
    assert versions(installed) == ("0.2.0", "0.2.0")
    said = installed.install("--rollback", status=2)
    assert "needs the database at 0001, and it is at 0002" in said
    assert versions(installed) == ("0.2.0", "0.2.0")
    installed.install("--rollback", "--downgrade")
    assert versions(installed) == ("0.1.0", "0.1.0")
    assert installed.release().startswith("0.1.0-")

    installed.install("--uninstall")
    assert installed.pids() == {}
    assert not installed.home.exists()
    assert {path.name for path in installed.units.rglob("*") if path.is_file()} == OTHERS
    assert (installed.etc / "settings.env").exists()
    assert (installed.root / "var/lib/my-service/service.db").exists()


def test_a_first_release_that_does_not_become_ready_leaves_nothing(machine: Machine) -> None:
    machine.edit("ops/systemd/app@.service", "SERVER__KEEP_ALIVE=75", "SERVER__KEEP_ALIVE=-1")
    assert "nothing serves" in machine.install("--domain", "localhost", status=1)
    assert (machine.pids(), machine.release()) == ({}, "")
    assert not [path for path in machine.units.rglob("*") if path.is_file()]


@pytest.mark.full
@pytest.mark.timeout(300)
def test_the_dependencies_are_those_of_the_lock_file(rendered: Render, tmp_path: Path) -> None:
    made = checkout(rendered(**PLAIN), tmp_path / "checkout")
    with Machine(tmp_path / "root", made, real_uv=True) as machine:
        python = str(interpreter(DEFAULT))
        subprocess.run(
            [tool("uv"), "lock", "--quiet"], cwd=made, env=machine.environment() | {"UV_PYTHON": python}, check=True
        )
        machine.edit("pyproject.toml", '"alembic>=1.20,<2"', '"alembic>=1.19,<2"')
        said = machine.install("--domain", "localhost", status=2, UV_PYTHON=python)
        assert "uv sync: the dependencies could not be installed" in said
        assert not list((machine.home / "releases").iterdir())
        machine.edit("pyproject.toml", '"alembic>=1.19,<2"', '"alembic>=1.20,<2"')
        machine.install("--domain", "localhost", UV_PYTHON=python)
        assert versions(machine) == ("0.1.0", "0.1.0")
        assert not (machine.home / "current/.venv/bin/pytest").exists()
