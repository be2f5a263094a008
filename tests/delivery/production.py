"""A machine in production: the proxy, the server of the metrics and what callers need to reach it, all of them real."""

import shutil
import socket
import ssl
import subprocess
import time
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.delivery.machine import Machine
from tests.delivery.tools import tool
from tests.extensions.prometheus_server import Prometheus, scraping
from tests.live.service import BOUND, free_port


@dataclass
class Production:
    """All of it, running."""

    machine: Machine
    port: int
    authority: Path
    context: ssl.SSLContext
    prometheus: Prometheus
    http: httpx2.Client

    @property
    def url(self) -> str:
        """The address that callers use."""
        return f"https://localhost:{self.port}"

    def raw(self, head: bytes, *parts: bytes, pause: float = 0.0) -> tuple[bytes, float]:
        """Send byte by byte over TLS; what came back, and the seconds until the end."""
        started = time.monotonic()
        received = b""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=BOUND) as plain,
            self.context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            with suppress(OSError):
                connection.sendall(head)
                for part in parts:
                    time.sleep(pause)
                    connection.sendall(part)
            with suppress(OSError):
                while part := connection.recv(65536):
                    received += part
        return received, time.monotonic() - started

    def record(self, correlation_id: str) -> str:
        """The access record of a request, once it is there."""
        deadline = time.monotonic() + BOUND
        while True:
            lines = [line for line in self.machine.log().splitlines() if correlation_id in line and '"access"' in line]
            if lines:
                return lines[0]
            assert time.monotonic() < deadline, self.machine.log()[-3000:]
            time.sleep(0.05)


def proxy(machine: Machine, port: int) -> ExitStack:
    """The real Caddy with the shipped file and the variables of its unit; only the ports are others."""
    unit = machine.unit("caddy.service")
    variables = unit.environment(machine.root, lambda text: text.replace("/etc/my-service", str(machine.etc)))
    variables |= {"HTTPS_PORT": str(port), "HTTP_PORT": str(free_port()), "CADDY_ADMIN": f"localhost:{free_port()}"}
    variables["UPSTREAMS"] = f"127.0.0.1:{machine.ports['8000']} 127.0.0.1:{machine.ports['8001']}"
    log = machine.root / "caddy.log"
    command = [tool("caddy"), "run", "--adapter", "caddyfile", "--config", str(machine.root / "etc/caddy/Caddyfile")]
    with log.open("w") as stream:
        process = subprocess.Popen(command, env=machine.environment() | variables, stdout=stream, stderr=stream)
    stack = ExitStack()
    stack.callback(process.wait)
    stack.callback(process.kill)
    deadline = time.monotonic() + BOUND
    while "certificate obtained successfully" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    return stack


def monitoring(machine: Machine, folder: Path) -> AbstractContextManager[Prometheus]:
    """A real Prometheus with the shipped files, in more of a hurry."""
    configuration = Path(shutil.copytree(machine.checkout / "ops/systemd", folder / "monitoring")) / "prometheus.yaml"
    text = configuration.read_text().replace("../prometheus", str(machine.checkout / "ops/prometheus"))
    for port in ("8001", "8002"):
        assert f"127.0.0.1:{port}" in text
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{machine.ports[port]}")
    configuration.write_text(text)
    return scraping(configuration, folder / "prometheus", port=int(machine.ports["8000"]))
