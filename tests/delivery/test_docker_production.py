"""What `make secrets` and `make production` begin with, and the proxy that stands before the service."""

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from tests.conftest import Render
from tests.delivery.tools import tool
from tests.live.environment import DEFAULT, clean, interpreter
from tests.live.service import free_port

FULL = {"preset": "production", "database": "postgres", "delivery": ["docker"]}


def compose(root: Path) -> dict[str, Any]:
    """The compose file, its anchors resolved."""
    found: dict[str, Any] = yaml.safe_load((root / "compose.production.yaml").read_text())
    return found


def copied(rendered: Render, tmp_path: Path) -> Path:
    """A service with everything, to write into."""
    return Path(shutil.copytree(rendered(**FULL), tmp_path / "service"))


def production(root: Path, command: str, domain: str | None = "api.example.com") -> subprocess.CompletedProcess[str]:
    """What `make secrets` and `make production` begin with."""
    environ = {"PATH": os.environ["PATH"]} | ({"DOMAIN": domain} if domain is not None else {})
    script = str(root / "ops/docker/production.sh")
    return subprocess.run([script, command], capture_output=True, text=True, check=False, env=environ, cwd="/")


def test_secrets_are_random_closed_to_others_and_never_written_over(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    wanted = {Path(entry["file"]).name for entry in compose(root)["secrets"].values()}
    assert production(root, "secrets").returncode == 0
    made = {path.name: path.read_text() for path in (root / "secrets").iterdir()}
    assert wanted <= set(made)
    assert (root / "secrets").stat().st_mode & 0o777 == 0o700
    assert {(root / "secrets" / name).stat().st_mode & 0o777 for name in made} == {0o444}
    assert len(made["AUDIT__KEY"]) == 64
    (root / "secrets/AUDIT__KEY").unlink()
    again = production(root, "secrets")
    assert again.stdout == "wrote secrets/AUDIT__KEY\n"
    now = {path.name: path.read_text() for path in (root / "secrets").iterdir()}
    assert now.pop("AUDIT__KEY") != made.pop("AUDIT__KEY")
    assert now == made


def test_the_service_takes_the_settings_and_secrets_of_its_containers(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    production(root, "secrets")
    app = compose(root)["services"]["app"]
    granted = tmp_path / "granted"
    granted.mkdir()
    for name in app["secrets"]:
        source = compose(root)["secrets"][name]["file"]
        shutil.copy(root / source, granted / name)
    environ = clean() | app["environment"] | {"SECRETS_DIR": str(granted)}
    command = [str(interpreter(DEFAULT)), "-c", "from app.main import load_settings; load_settings()"]
    done = subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("domain", "line"),
    [
        (None, "DOMAIN is not set: put DOMAIN=api.example.com, the name of this machine, into .env"),
        ("https://api.example.com", "DOMAIN: 'https://api.example.com' is no domain: write it like api.example.com"),
        ("api.example.com:8443", "DOMAIN: 'api.example.com:8443' is no domain"),
        ("10.0.0.1", "DOMAIN: '10.0.0.1' is no domain"),
        ("api_one.example.com", "DOMAIN: 'api_one.example.com' is no domain"),
        ("-a.example.com", "DOMAIN: '-a.example.com' is no domain"),
    ],
)
def test_a_domain_that_is_none_is_one_line(domain: str | None, line: str, rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    (root / "uv.lock").touch()
    production(root, "secrets")
    refused = production(root, "check", domain)
    assert refused.returncode == 2
    assert refused.stderr.startswith(line)
    assert refused.stderr.count("\n") == 1
    (root / ".env").write_text("DOMAIN=api.example.com\n")
    assert production(root, "check", None).returncode == 0
    assert production(root, "check", "localhost").returncode == 0


def test_a_missing_secret_and_a_missing_lock_file_are_one_line(rendered: Render, tmp_path: Path) -> None:
    root = copied(rendered, tmp_path)
    production(root, "secrets")
    assert production(root, "check").stderr.startswith("uv.lock is missing")
    (root / "secrets/REDIS__URL").unlink()
    refused = production(root, "check")
    assert refused.stderr == "secrets/REDIS__URL is missing or empty: `make secrets` writes it\n"
    assert refused.returncode == 2


def test_prometheus_takes_what_it_is_given_to_scrape(rendered: Render, tmp_path: Path) -> None:
    root = rendered(**FULL)
    for path in (root / "ops/docker/prometheus.yaml", root / "ops/prometheus/alerts.yaml"):
        shutil.copy(path, tmp_path)
    command = [tool("promtool"), "check", "config", str(tmp_path / "prometheus.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def proxied(rendered: Render, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """The proxy of compose.production.yaml on a port of this machine, and the port that it takes for the service's."""
    text = (rendered(**FULL) / "ops/docker/Caddyfile").read_text()
    port, upstream, third = free_port(), free_port(), free_port()
    text = text.replace("app:8000", f"127.0.0.1:{upstream}").replace("localhost:3000", f"localhost:{third}")
    text = text.replace("127.0.0.1:3000", f"127.0.0.1:{third}").replace("persist_config off", "admin off", 1)
    (tmp_path / "Caddyfile").write_text(text)
    environ = {"DOMAIN": f"http://127.0.0.1:{port}", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
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
        time.sleep(0.5)  # nobody listens yet: the service is being replaced
        assert not early.done()
        server = ThreadingHTTPServer(("127.0.0.1", upstream), Echo)
        pool.submit(server.serve_forever)
        try:
            assert early.result(40).json() == {"path": "/api/v1/orders", "for": "127.0.0.1"}
            for path in ("/health", "/health/", "/HEALTH", "/%68ealth", "/health?all", "/metrics", "/jobs"):
                assert client.get(path).status_code == 404, path
            assert client.get("/health/ready").json()["path"] == "/health/ready"
        finally:
            server.shutdown()
            server.server_close()
