"""The proxy of compose.production.yaml, before a service that is there, away or silent."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from tests.conftest import Render
from tests.delivery.test_docker_production import FULL, compose
from tests.delivery.tools import tool
from tests.live.service import free_port


@contextmanager
def proxying(root: Path, tmp_path: Path, **settings: str) -> Iterator[tuple[int, int]]:
    """The proxy of compose.production.yaml on a port of this machine, and the port that it takes for the service's."""
    text = (root / "ops/docker/Caddyfile").read_text()
    port, upstream, third = free_port(), free_port(), free_port()
    text = text.replace("app:8000", f"127.0.0.1:{upstream}").replace("localhost:3000", f"localhost:{third}")
    text = text.replace("127.0.0.1:3000", f"127.0.0.1:{third}").replace("persist_config off", "admin off", 1)
    (tmp_path / "Caddyfile").write_text(text)
    environ = {"DOMAIN": f"http://127.0.0.1:{port}", "HOME": str(tmp_path), "PATH": os.environ["PATH"]} | settings
    with (tmp_path / "caddy.log").open("wb") as log:
        command = [tool("caddy"), "run", "--adapter=caddyfile", f"--config={tmp_path / 'Caddyfile'}"]
        process = subprocess.Popen(command, env=environ, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < deadline, (tmp_path / "caddy.log").read_text()
            time.sleep(0.05)
        yield port, upstream
    finally:
        process.kill()
        process.wait(timeout=10)


@pytest.fixture
def proxied(rendered: Render, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The two ports, with the default settings."""
    with proxying(rendered(**FULL), tmp_path) as ports:
        yield ports


class Echo(BaseHTTPRequestHandler):
    """A service that says what reached it."""

    def do_GET(self) -> None:
        """Any path."""
        body = json.dumps({"path": self.path, "for": self.headers["X-Forwarded-For"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Refuse it as the service does: without reading the body."""
        self.send_response(413)
        self.end_headers()


def problem(answer: httpx2.Response) -> tuple[str, str]:
    """The code and the id of an error of the proxy's own, which has the format of every other."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert not {"server", "via"} & set(answer.headers)
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"urn:problem-type:{body['code'].replace('_', '-')}"
    assert body["correlation_id"] == answer.headers["X-Correlation-ID"]
    return body["code"], body["correlation_id"]


def test_a_refusal_of_a_large_body_reaches_the_caller(proxied: tuple[int, int]) -> None:
    port, upstream = proxied
    server = ThreadingHTTPServer(("127.0.0.1", upstream), Echo)
    with ThreadPoolExecutor() as pool:
        pool.submit(server.serve_forever)
        try:
            for _ in range(5):
                answer = httpx2.post(f"http://127.0.0.1:{port}/api/v1/orders", content=bytes(20_000_000), timeout=40)
                assert answer.status_code == 413
        finally:
            server.shutdown()
            server.server_close()


def test_the_proxy_waits_for_the_service_tells_who_calls_and_hides_what_is_for_operators(
    proxied: tuple[int, int],
) -> None:
    port, upstream = proxied
    with ThreadPoolExecutor() as pool, httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=40) as client:
        early = pool.submit(client.get, "/api/v1/orders", headers={"X-Forwarded-For": "203.0.113.9"})
        time.sleep(0.5)  # there is no listener yet: the service is being replaced
        assert not early.done()
        server = ThreadingHTTPServer(("127.0.0.1", upstream), Echo)
        pool.submit(server.serve_forever)
        try:
            assert early.result(40).json() == {"path": "/api/v1/orders", "for": "127.0.0.1"}
            for path in ("/health", "/health/", "/HEALTH", "/%68ealth", "/health?all", "/metrics", "/jobs"):
                hidden = client.get(path, headers={"X-Correlation-ID": "of-the-caller"})
                assert hidden.status_code == 404, path
                assert problem(hidden) == ("not_found", "of-the-caller"), path
            assert client.get("/health/ready").json()["path"] == "/health/ready"
        finally:
            server.shutdown()
            server.server_close()


def test_the_proxy_waits_as_long_as_the_settings_say_and_then_answers_with_a_problem(
    rendered: Render, tmp_path: Path
) -> None:
    root = rendered(**FULL)
    settings = {"PROXY_TIMEOUT": "1", "PROXY_BODY_TIMEOUT": "2", "HTTP__HEADER_TIMEOUT": "2"}
    assert settings.keys() < compose(root)["services"]["proxy"]["environment"].keys()
    with proxying(root, tmp_path, **settings) as (port, upstream), socket.socket() as silent:
        silent.bind(("127.0.0.1", upstream))
        silent.listen()
        started = time.monotonic()
        answer = httpx2.post(f"http://127.0.0.1:{port}/api/v1/orders", timeout=40)
        assert 1 <= time.monotonic() - started < 10
        assert answer.status_code == 504
        assert problem(answer)[0] == "service_unavailable"
        with socket.create_connection(("127.0.0.1", port), timeout=40) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\n")
            started = time.monotonic()
            slow.recv(65536)
            assert 1 < time.monotonic() - started < 10
