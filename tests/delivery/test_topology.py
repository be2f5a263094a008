"""Production as ops/systemd/ sets it up: TLS at the proxy, two instances, worker, PostgreSQL, Valkey and Prometheus."""

import json
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.conftest import Render
from tests.delivery.callers import calling, command
from tests.delivery.machine import Machine, checkout, until
from tests.delivery.production import Production, monitoring, proxy
from tests.delivery.traffic import Traffic
from tests.extensions import valkey
from tests.live import postgres
from tests.live.environment import DEFAULT, clean, interpreter
from tests.live.service import BOUND, ORDERS, free_port, order

pytestmark = pytest.mark.xdist_group("topology")
ANSWERS: dict[str, Any] = {"preset": "production", "database": "postgres", "delivery": ["systemd", "load_tests"]}
TESTS = Path(__file__).parents[1]
PROBLEM = "application/problem+json"
SPOOFED = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
HOME = "127.0.0.2"
"""The address of callers, as the proxy sees it."""


@pytest.fixture(scope="module")
def production(rendered: Render, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """Installed by install.sh, behind the Caddyfile that it laid; all of its parts on ports of their own."""
    folder = tmp_path_factory.mktemp("topology")
    with ExitStack() as stack:
        database = stack.enter_context(postgres.serve()).database()
        redis = stack.enter_context(valkey.serve(folder))
        machine = stack.enter_context(Machine(folder / "root", checkout(rendered(**ANSWERS), folder / "checkout")))
        for name in ("REDIS__URL", "RATE_LIMIT__STORAGE_URL"):
            machine.secret(name, redis.url)
        machine.secret("DATABASE__URL", database)
        machine.secret("AUDIT__KEY", "a key that seals the audit trail")
        patience = {"HTTP__HEADER_TIMEOUT": "2", "HTTP__RECEIVE_TIMEOUT": "2", "PROXY_BODY_TIMEOUT": "4"}
        machine.settings(**patience, RATE_LIMIT__ENABLED="false")
        slices = machine.checkout / "app/features"
        (slices / "echo.py").write_text((TESTS / "live/slices/echo.py").read_text())
        machine.edit("app/features/__init__.py", "import orders", "import echo, orders")
        machine.edit("app/features/__init__.py", "[orders.component()]", "[orders.component(), echo.component()]")
        machine.install("--domain", "localhost")
        port = free_port()
        stack.enter_context(proxy(machine, port))
        authority = machine.root / "caddy/caddy/pki/authorities/local/root.crt"
        context = ssl.create_default_context(cafile=str(authority))
        prometheus = stack.enter_context(monitoring(machine, folder))
        transport = httpx2.HTTPTransport(verify=context, local_address=HOME)
        http = stack.enter_context(
            httpx2.Client(base_url=f"https://localhost:{port}", transport=transport, timeout=BOUND)
        )
        yield Production(machine, port, authority, context, prometheus, http)


def test_callers_keep_their_address_and_their_correlation_id(production: Production) -> None:
    answer = production.http.get(ORDERS, headers={"X-Correlation-ID": "caller-0001", **SPOOFED})
    assert (answer.status_code, answer.headers["x-correlation-id"]) == (200, "caller-0001")
    assert {"server", "via"}.isdisjoint(answer.headers)
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    record = production.record("caller-0001")
    assert f'"client":"{HOME}"' in record
    assert "203.0.113.9" not in record
    made = production.http.get(ORDERS, headers={"X-Correlation-ID": 'a "quoted" one'}).headers["x-correlation-id"]
    assert f'"client":"{HOME}"' in production.record(made)


def test_what_is_for_operators_is_not_there_from_outside(production: Production) -> None:
    for path in (
        "/metrics",
        "/metrics/",
        "/METRICS",
        "/%6detrics",
        "//metrics",
        "/health",
        "/health/",
        "/Health/x",
        "/jobs",
    ):
        answer = production.http.get(path, headers={"X-Correlation-ID": "caller-0002", "X-Forwarded-For": "127.0.0.1"})
        assert (answer.status_code, answer.headers["content-type"]) == (404, PROBLEM), path
        assert (answer.json()["status"], answer.json()["code"]) == (404, "not_found")
        assert {"server", "via"}.isdisjoint(answer.headers)
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"] == "caller-0002"
    for probe in ("live", "ready", "startup"):
        assert production.http.get(f"/health/{probe}").status_code == 200
    # The service alone refuses them as well: a proxy that forgets the rule lets no caller in.
    for port in ("8000", "8001"):
        direct = f"http://127.0.0.1:{production.machine.ports[port]}"
        assert httpx2.get(f"{direct}/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code in {401, 403}
        assert httpx2.get(f"{direct}/metrics").status_code == 200


@pytest.mark.parametrize("size", [1_100_000, 4_000_000, 30_000_000])
def test_a_body_over_the_limit_is_the_services_413(size: int, production: Production) -> None:
    for body in (b"x" * size, (b"x" * 100_000 for _ in range(size // 100_000))):
        # A connection of its own: whoever is answered early may still be sending on it.
        with httpx2.Client(base_url=production.url, verify=production.context, timeout=BOUND) as http:
            answer = http.post(ORDERS, content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.headers["content-type"]) == (413, PROBLEM), answer.text
        assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]
    fits = production.http.post(ORDERS, content=b" " * 1_000_000 + b"{}", headers={"Content-Type": "application/json"})
    assert fits.status_code == 422


def test_slow_clients_are_let_go_on_each_hop(production: Production) -> None:
    head = b"POST /api/v1/orders HTTP/1.1\r\nHost: localhost\r\n"
    body, took = production.raw(
        head + b"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n", *[b" "] * 60, pause=0.1
    )
    assert b"HTTP/1.1 408 " in body
    assert PROBLEM.encode() in body
    headers, took_headers = production.raw(head, *[b"X-A: b\r\n"] * 60, pause=0.1)
    assert not headers or headers.startswith(b"HTTP/1.1 4")
    assert max(took, took_headers) < 15


def test_prometheus_sees_each_process_and_evaluates_every_alert(production: Production) -> None:
    production.prometheus.until('sum(up{job="my-service"})', 3)
    production.http.post(ORDERS, json=order("seen"))
    production.prometheus.until('sum(http_requests_total{job="my-service",route="/api/v1/orders"})')
    rules = [rule for group in production.prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(rules) >= 15
    assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
    assert not [rule["name"] for rule in rules if rule["state"] == "firing"]


@contextmanager
def echoing(production: Production) -> Iterator["subprocess.Popen[str]"]:
    """A WebSocket through the proxy, by a client that connects again."""
    url = f"{production.url.replace('https', 'wss')}/api/v1/echo/live"
    command = [str(interpreter(DEFAULT)), str(TESTS / "delivery/echoing.py"), url, str(production.authority)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        try:
            yield client
        finally:
            client.kill()


@pytest.mark.timeout(180)
def test_an_upgrade_under_load_fails_no_request(production: Production) -> None:
    machine = production.machine
    machine.edit("pyproject.toml", 'version = "0.1.0"', 'version = "0.2.0"')
    before = machine.pids()
    with echoing(production) as socket, Traffic(production.url, production.context) as traffic:
        said = machine.install()
        found = json.loads(socket.communicate(timeout=BOUND)[0])
    assert found["ends"]
    assert set(found["ends"]) == {1012}
    assert found["echoes"] > 20
    assert "my-service@8001 is up" in said
    assert (machine.version("8000"), machine.version("8001")) == ("0.2.0", "0.2.0")
    assert not set(machine.pids().values()) & set(before.values())
    assert traffic.failed == [], (len(traffic.failed), traffic.done)
    assert traffic.done >= 1000
    for where in traffic.placed[:: len(traffic.placed) // 50 + 1]:
        assert production.http.get(where).status_code == 200


@pytest.mark.timeout(240)
def test_a_rolling_restart_under_the_shipped_load_test_fails_no_request(production: Production, tmp_path: Path) -> None:
    machine = production.machine
    # uv fetches locust as long as it asks the world with the world's certificates.
    subprocess.run(command(version=""), cwd=machine.checkout, env=clean(), check=True, capture_output=True)
    environment = clean() | {"SSL_CERT_FILE": str(production.authority), "UV_OFFLINE": "1"}
    small: dict[str, Any] = {"users": 4, "run_time": "200s", "min_rate": 1, "max_p95": 10000}
    before, orders = machine.pids(), placed(production)
    with calling(machine.checkout, environment, tmp_path / "load.log", host=production.url, **small) as callers:
        until(True, lambda: placed(production) > orders + small["users"])
        with (machine.etc / "settings.env").open("a") as settings:
            settings.write("LOG__LEVEL=INFO\n")
        said = machine.install()
        orders = placed(production)
        until(True, lambda: placed(production) > orders)
        found = callers.stop()
    assert "my-service@8000 is up\nmy-service: my-service@8001 is up" in said
    assert not set(machine.pids().values()) & set(before.values())
    assert found.failed == 0
    assert found.requests >= 200
    report = (machine.checkout / "var/load/report.html").read_text()
    assert "/api/v1/orders/{order_id}" in report
    assert '"host": "' + production.url in report


def placed(production: Production) -> int:
    """Return the number of orders."""
    return int(production.http.get(ORDERS, params={"size": 1}).json()["total"])


@pytest.mark.timeout(120)
def test_one_instance_serves_alone_and_without_any_it_is_said(production: Production) -> None:
    pids = production.machine.pids()
    os.kill(int(pids["my-service@8000.service"]), signal.SIGKILL)
    assert {production.http.get(ORDERS, params={"size": 1}).status_code for _ in range(50)} == {200}
    os.kill(int(pids["my-service@8001.service"]), signal.SIGKILL)
    answer = production.http.get(ORDERS, headers={"X-Correlation-ID": "caller-0003"})
    assert (answer.status_code, answer.headers["content-type"]) in {(502, PROBLEM), (503, PROBLEM)}
    assert answer.json()["correlation_id"] == "caller-0003"
