"""The image of a service with everything: built, started as its own user on a read-only root, probed and stopped."""

import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.delivery import service_image
from tests.delivery.images import Container
from tests.delivery.service_image import MOST_MEGABYTES, Start, own_megabytes, starting
from tests.live import postgres
from tests.live.service import ORDERS, free_port, order

pytestmark = [pytest.mark.xdist_group("image"), pytest.mark.timeout(900)]  # the first run makes a base as well


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The image, and the files of a developer's machine that no image may have."""
    root = service_image.context(tmp_path_factory.mktemp("image") / "service")
    for name in (".env", "production.env", "secrets/DATABASE__URL", ".git/config", "var/service.db", "app/.env"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("GIVEN_AWAY=a-secret-that-no-image-has")
    with service_image.built(root) as found:
        yield found


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    """A PostgreSQL of our own, which a test freezes."""
    with postgres.serve() as found:
        yield found


@pytest.fixture(scope="module")
def start(
    built: tuple[Path, dict[str, Any]], server: postgres.Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Start]:
    """Starts containers of it beside one database."""
    with starting(*built, server.database(), tmp_path_factory.mktemp("containers")) as run:
        yield run


@pytest.fixture
def service(start: Start) -> tuple[Container, int]:
    """A container that serves, and is healthy."""
    port = free_port()
    container = start(SERVER__PORT=str(port))
    until(lambda: container.health().returncode == 0, container.log)
    return container, port


def until(condition: Callable[[], bool], log: Path) -> None:
    """Wait for something, and show the log where it does not come."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.1)


def test_the_image_serves_as_its_own_user_on_a_read_only_root_without_rights(service: tuple[Container, int]) -> None:
    container, port = service
    status = Path(f"/proc/{container.process.pid}/status").read_text()
    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert set(facts["Uid"].split() + facts["Gid"].split()) == {"1000"}
    assert {int(facts[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert facts["NSpid"].split()[-1] == "1"
    refused = container.run("touch", "/service/app/new")
    assert "Read-only file system" in refused.stderr
    assert container.run("touch", "/tmp/new", "/data/new").returncode == 0  # noqa: S108  # the container's own
    created = httpx2.post(f"http://127.0.0.1:{port}{ORDERS}", json=order("A-1"), timeout=10)
    assert created.status_code == 201, created.text


def test_the_health_check_fails_while_the_service_is_not_ready(
    service: tuple[Container, int], server: postgres.Server
) -> None:
    container, _ = service
    server.freeze()
    try:
        until(lambda: container.health().returncode != 0, container.log)
        assert "answers 503" in container.health().stderr
    finally:
        server.thaw()
    until(lambda: container.health().returncode == 0, container.log)


def test_sigterm_reaches_the_service_and_what_is_under_way_is_finished(service: tuple[Container, int]) -> None:
    container, port = service
    body = httpx2.Request("POST", f"http://127.0.0.1:{port}{ORDERS}", json=order("B-1")).content
    head = f"POST {ORDERS} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        container.process.send_signal(signal.SIGTERM)
        until(lambda: "draining" in container.log.read_text(), container.log)
        until(lambda: not listens(port), container.log)
        client.sendall(body[10:])
        answer = client.recv(65536)
    assert answer.startswith(b"HTTP/1.1 201"), answer
    assert container.wait(20) in {0, 143}
    assert '"level":"error"' not in container.log.read_text()


def listens(port: int) -> bool:
    """Return whether a process takes connections."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_image_holds_the_service_and_no_secret_test_or_history(built: tuple[Path, dict[str, Any]]) -> None:
    root, _ = built
    found = {path.name for path in (root / "service").iterdir()}
    assert found == {".venv", "alembic.ini", "app", "migrations", "pyproject.toml"}
    assert (root / "service/app/__pycache__").is_dir()
    assert not (root / "service/.venv/lib/python3.13/site-packages/pytest").exists()
    assert not (root / "usr/local/bin/uv").exists()
    code = [path for path in (root / "service").rglob("*") if ".venv" not in path.parts and path.is_file()]
    assert sum(path.stat().st_size for path in code) < 2_000_000, "a change of one line would add as much"
    modules = [path for path in (root / "service/.venv").rglob("*.so") if b"\0.debug_info\0" in path.read_bytes()]
    assert modules == [], "debug symbols are a fifth of the size"
    command = ["grep", "--recursive", "--files-with-matches", "GIVEN_AWAY", "--exclude-dir=proc"]
    given = subprocess.run([*command, root], capture_output=True, text=True, check=False)
    assert not given.stdout, f"{given.stdout} should not be in the image"


def test_the_image_says_what_it_is(built: tuple[Path, dict[str, Any]]) -> None:
    _, config = built
    labels = config["Labels"]
    assert labels["org.opencontainers.image.title"] == "my-service"
    assert labels["org.opencontainers.image.revision"] == "0123abc"
    assert config["User"] == "1000:1000"
    assert config["Cmd"] == ["python", "-m", "app"]


@pytest.mark.usefixtures("built")
def test_the_image_stays_small() -> None:
    _, added = own_megabytes()
    assert added <= MOST_MEGABYTES, f"everything adds {added:.0f} MB"
