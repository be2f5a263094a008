"""compose.production.yaml of a service with everything: on a real engine, by the commands of docs/deployment.md."""

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.delivery import engine
from tests.delivery.stack import LABEL, Stack, rendered
from tests.delivery.traffic import Traffic
from tests.live.service import BOUND, ORDERS, order

pytestmark = [pytest.mark.full, pytest.mark.xdist_group("engine"), pytest.mark.timeout(1800)]
URL = "https://localhost"
NETWORK = {"proxy": "Connection refused", "app": "Connection refused", "postgres": "Network is unreachable"}
"""The answer of a closed port of the caller's machine: to be refused, it has to be reached."""
READY = r"exec 3<>/dev/tcp/127.0.0.1/8000; printf 'GET /health/ready HTTP/1.0\r\n\r\n' >&3; timeout 30 cat <&3"
ASK = '(: </dev/tcp/"$0"/9) 2>&1 || true'


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """All of it, started by the first `make production`."""
    with engine.running(tmp_path_factory.mktemp("engine")) as running:
        stack = rendered(running.programs.parent / "service", running)
        stack.release("1.0.0")
        stack.make("production", "IMAGE=my-service:1.0.0")
        yield stack


@pytest.fixture
def context(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The certificates that a caller trusts, for whom the domain points to the engine's machine."""
    found = socket.getaddrinfo

    def find(host: Any, port: Any, *more: Any, **named: Any) -> Any:
        here = port == 443 and host in {"localhost", b"localhost"}
        return found(stack.engine.address if here else host, port, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    authority = stack.compose("exec", "--no-TTY", "proxy", "cat", "/data/caddy/pki/authorities/local/root.crt")
    return ssl.create_default_context(cadata=authority)


def calling(context: ssl.SSLContext) -> httpx2.Client:
    """A caller from outside."""
    return httpx2.Client(base_url=URL, verify=context, timeout=BOUND)


@pytest.fixture
def http(context: ssl.SSLContext) -> Iterator[httpx2.Client]:
    """A caller, for one test."""
    with calling(context) as client:
        yield client


def place(http: httpx2.Client, reference: str) -> str:
    """Store an order; its address."""
    placed = http.post(ORDERS, json=order(reference))
    assert placed.status_code == 201, placed.text
    return str(placed.headers["location"])


def test_everything_is_healthy_without_rights_and_without_a_way_out(stack: Stack) -> None:
    health = stack.health()
    assert health.pop("migrate") == "exited"
    assert health.pop("backups") == "running"
    assert set(health.values()) == {"healthy"}, health
    for name, container in stack.containers().items():
        host, log = container["HostConfig"], container["HostConfig"]["LogConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"] and host["PidsLimit"] and host["NanoCpus"], name  # noqa: PT018  # each is a limit
        assert log["Type"] == "local", name
        published = {port for port, places in container["NetworkSettings"]["Ports"].items() if places}
        assert published == ({"80/tcp", "443/tcp", "443/udp", "3000/tcp"} if name == "proxy" else set()), name
    for name, user in (("app", "1000"), ("worker", "1000"), ("postgres", "999"), ("prometheus", "65534")):
        status = stack.compose("exec", "--no-TTY", name, "cat", "/proc/1/status")
        facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert (facts["Uid"].split()[0], int(facts["CapEff"], 16), facts["NoNewPrivs"]) == (user, 0, "1"), name
    for name, heard in NETWORK.items():
        assert heard in stack.compose("exec", "--no-TTY", name, "bash", "-c", ASK, stack.engine.caller), name


def test_callers_reach_the_service_alone_and_it_knows_who_they_are(stack: Stack, http: httpx2.Client) -> None:
    address = place(http, "A-1")
    named = {"X-Correlation-ID": "of-the-caller", "X-Forwarded-For": "203.0.113.9"}
    assert http.get(address, headers=named).json()["reference"] == "A-1"
    container = stack.containers()["app"]["Id"]
    stack.until(lambda: "of-the-caller" in stack.engine.docker("logs", container))
    lines = stack.engine.docker("logs", container).splitlines()
    record = next(json.loads(line) for line in lines if "of-the-caller" in line)
    assert record["client"] == stack.engine.caller
    for path in ("/health", "/metrics", "/jobs"):
        assert http.get(path).status_code == 404, path
    assert http.get("/health/ready").status_code == 200
    for port in (3000, 5432, 6379, 8000, 8001, 9090):
        with socket.socket() as probe:
            assert probe.connect_ex((stack.engine.address, port)), f"{port} is open"


def test_prometheus_has_the_service_and_the_worker(stack: Stack) -> None:
    query = "http://127.0.0.1:9090/api/v1/query?query=up"

    def values() -> list[str]:
        said = stack.compose("exec", "--no-TTY", "prometheus", "wget", "-q", "-O", "-", query)
        return [each["value"][1] for each in json.loads(said)["data"]["result"]]

    stack.until(lambda: values() == ["1", "1"])


def test_the_first_backup_and_its_drill_come_by_themselves(stack: Stack) -> None:
    stack.until(lambda: "restored in " in stack.compose("logs", "backups"))
    listed = stack.compose("exec", "--no-TTY", "backups", "python", "-m", "ops", "list")
    assert "postgresql 18" in listed


def test_callers_wait_for_a_new_version_and_not_for_a_worker_that_does_not_stop(
    stack: Stack, context: ssl.SSLContext
) -> None:
    stack.release("2.0.0")
    before = stack.containers()
    stack.engine.docker("kill", "--signal=STOP", before["worker"]["Id"])
    with Traffic(URL, context, callers=8) as traffic:
        stack.make("production", "IMAGE=my-service:2.0.0")
        time.sleep(1)
    after = stack.containers()
    assert traffic.failed == []
    assert len(traffic.placed) > 100
    for name in ("app", "worker", "backups", "migrate"):
        assert after[name]["Config"]["Labels"][LABEL] == "2.0.0", name
    for name in ("proxy", "postgres", "redis", "prometheus", "grafana"):
        assert after[name]["Id"] == before[name]["Id"], f"{name} was replaced, and nothing of it has changed"
        assert after[name]["State"]["StartedAt"] == before[name]["State"]["StartedAt"], name


def test_a_service_that_is_killed_comes_back(stack: Stack, http: httpx2.Client) -> None:
    address = place(http, "K-1")
    number = stack.containers()["app"]["State"]["Pid"]
    stack.engine.inside("sh", "-c", f"kill -9 {number}")
    assert http.get(address).json()["reference"] == "K-1"  # the proxy has it wait
    assert stack.containers()["app"]["RestartCount"] == 1


def test_what_was_stored_is_there_after_everything_was_stopped_and_started(
    stack: Stack, context: ssl.SSLContext
) -> None:
    with calling(context) as http:
        address = place(http, "S-1")
    stack.compose("down")
    assert not stack.containers()
    stack.make("production", "IMAGE=my-service:2.0.0")
    with calling(context) as http:
        assert http.get(address).json()["reference"] == "S-1"


def test_a_domain_that_is_missing_changes_nothing(stack: Stack) -> None:
    settings = stack.root / ".env"
    text = settings.read_text()
    settings.write_text("")
    try:
        done = subprocess.run(
            ["make", "production"], cwd=stack.root, env=stack.engine.environment(), capture_output=True, check=False
        )
    finally:
        settings.write_text(text)
    assert b"DOMAIN is not set" in done.stderr
    assert stack.health()["app"] == "healthy"


def test_a_desk_has_all_servers_and_the_service_by_one_command(stack: Stack) -> None:
    stack.compose("down")
    # A machine with a registry builds it by `build: .` instead.
    stack.engine.docker("tag", "my-service:1.0.0", "my-service:development")
    stack.desk("up", "--detach", "--wait")
    try:
        assert "200 OK" in stack.engine.inside("bash", "-c", READY)
        main = stack.root / "app/main.py"
        main.write_text(main.read_text() + "# changed at the desk\n")
        stack.until(lambda: "Reloading" in stack.desk("logs", "app"))
        stack.until(lambda: "200 OK" in stack.engine.inside("bash", "-c", READY))
    finally:
        stack.desk("down", "--volumes")
