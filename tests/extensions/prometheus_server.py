"""A real Prometheus server, as Debian packages it: its checks of files, and its answers about a running service."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from tests.live.service import BOUND, free_port


def tool(name: str) -> str:
    """The path of `prometheus` or `promtool`."""
    found = shutil.which(name)
    assert found, f"{name} is missing: apt-get install prometheus"
    return found


def promtool(*arguments: str | Path, cwd: Path) -> str:
    """Have `promtool` look at something that it must find nothing wrong with."""
    done = subprocess.run(
        [tool("promtool"), *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.http = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=BOUND)

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the response of its API (https://prometheus.io/docs/prometheus/latest/querying/api/)."""
        answer = self.http.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{parameters}: {answer.text}"
        return json.loads(answer.text)["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression, as they are now."""
        found: list[dict[str, Any]] = self.ask("query", query=expression)["result"]
        return found

    def value(self, expression: str) -> float:
        """The one value of an expression; 0 while there is none."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else 0.0

    def until(self, expression: str, least: float = 1) -> float:
        """Wait until an expression has grown so far."""
        deadline = time.monotonic() + BOUND
        while (value := self.value(expression)) < least:
            assert time.monotonic() < deadline, f"{expression} is {value} and not {least}: {self.ask('targets')}"
            time.sleep(0.2)
        return value


@contextmanager
def scraping(configuration: Path, folder: Path, *, port: int, interval: str = "500ms") -> Iterator[Prometheus]:
    """A server that runs with a service's own files, for a service at another port and in more of a hurry."""
    text = configuration.read_text()
    assert "127.0.0.1:8000" in text
    assert "_interval: 15s" in text
    folder.mkdir()
    copied = shutil.copytree(configuration.parent, folder / "configuration") / configuration.name
    copied.write_text(
        text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("_interval: 15s", f"_interval: {interval}")
    )
    own = free_port()
    command = [
        tool("prometheus"),
        f"--config.file={copied}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        server = Prometheus(own)
        deadline = time.monotonic() + BOUND
        while True:
            with suppress(httpx2.TransportError):
                if server.http.get("/-/ready").status_code == 200:
                    break
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield server
        server.http.close()
    finally:
        process.terminate()
        process.wait(timeout=BOUND)
