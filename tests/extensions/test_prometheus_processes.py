"""The metrics of a service that is guarded by a token, has a port for them, or runs as several processes."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import httpx2
import pytest

from tests.extensions.prometheus_server import scraping
from tests.live.conftest import Make, Run
from tests.live.service import BOUND, Rendered, free_port

TOKEN = "a-token-of-the-metrics"  # noqa: S105
CONFIGURATION = Path("ops/prometheus/prometheus.yaml")


@pytest.fixture(scope="module")
def service(rendered: Make) -> Rendered:
    """A service with metrics."""
    return rendered(extensions=["prometheus"])


def total(text: str, pattern: str) -> float:
    """The sum of the series that match."""
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE))


def metrics(url: str) -> str:
    """Return the text of one scrape, over a connection of its own: any of several processes may answer."""
    answer = httpx2.get(f"{url}/metrics", timeout=BOUND)
    assert answer.status_code == 200, answer.text
    return answer.text


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for something."""
    deadline = time.monotonic() + BOUND
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def processes(url: str) -> set[int]:
    """The processes of a service."""
    return {int(pid) for pid in re.findall(r'^process_cpu_seconds_total{pid="(\d+)"}', metrics(url), re.MULTILINE)}


def test_a_scraper_with_the_token_is_answered_on_a_port_of_its_own(service: Rendered, run: Run, tmp_path: Path) -> None:
    port = free_port()
    process = run(service, PROMETHEUS__TOKEN=TOKEN, PROMETHEUS__PORT=str(port))
    assert process.http.get("/metrics").status_code == 404
    assert httpx2.get(f"http://127.0.0.1:{port}/metrics").status_code == 401
    folder = copytree(service.root / "ops/prometheus", tmp_path / "with-token")
    (folder / "token").write_text(TOKEN)
    text = (folder / "prometheus.yaml").read_text()
    opened = text.replace("# authorization:", "authorization:").replace("#   credentials_file", "  credentials_file")
    assert opened != text
    (folder / "prometheus.yaml").write_text(opened)
    with scraping(folder / "prometheus.yaml", tmp_path / "server", port=port) as server:
        server.until('up{job="my-service"}')
    assert process.stop() == -signal.SIGTERM
    (refused,) = process.troubles()
    assert (refused["logger"], refused["path"], refused["status"]) == ("access", "/metrics", 404)


def test_a_port_for_metrics_that_is_in_use_stops_the_start_with_one_line(service: Rendered) -> None:
    with socket.create_server(("127.0.0.1", 0)) as used:
        port = str(used.getsockname()[1])
        done = service.run("app", settings={"SERVER__PORT": str(free_port()), "PROMETHEUS__PORT": port})
    assert done.returncode == 3
    assert f"PROMETHEUS__PORT: cannot listen on 127.0.0.1:{port}" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_port_for_metrics_cannot_be_the_port_of_the_service(service: Rendered) -> None:
    port = str(free_port())
    done = service.run("app", settings={"SERVER__PORT": port, "PROMETHEUS__PORT": port})
    assert done.returncode == 2
    assert f"PROMETHEUS__PORT: {port} is SERVER__PORT: set another" in done.stdout
    assert "Traceback" not in done.stdout


def test_each_of_two_processes_answers_for_both_and_the_next_start_begins_at_nothing(
    service: Rendered, run: Run, tmp_path: Path
) -> None:
    port = free_port()
    process = run(service, SERVER__WORKERS="2", SERVER__SHARED=str(tmp_path), PROMETHEUS__PORT=str(port))
    url = f"http://127.0.0.1:{port}"
    until(lambda: len(processes(url)) == 2, "two processes")
    for _ in range(40):  # a connection each, so that both get some
        assert httpx2.get(f"{process.url}/nothing", timeout=BOUND).status_code == 404
    pattern = 'http_requests_total{method="GET",route="unmatched",status="404"}'
    assert {total(metrics(url), pattern) for _ in range(20)} == {40}
    assert len(list(tmp_path.glob("workers-*/prometheus/counter_*.db"))) == 2
    until(lambda: total(metrics(url), "database_pool_limit") == 66, "the pools of both")

    before = processes(url)
    os.kill(min(before), signal.SIGKILL)
    until(lambda: len(processes(url) - before) == 1 and len(processes(url)) == 2, "another one in its place")
    assert {total(metrics(url), pattern) for _ in range(20)} == {40}
    until(lambda: total(metrics(url), "database_pool_limit") == 66, "the pools of those that live")

    assert process.stop() == 0
    assert list(tmp_path.glob("workers-*")) == []


def test_a_place_that_cannot_be_written_stops_the_start_with_one_line(service: Rendered) -> None:
    settings = {"SERVER__PORT": str(free_port()), "SERVER__WORKERS": "2", "SERVER__SHARED": "/nonexistent"}
    done = service.run("app", settings=settings)
    assert done.returncode == 2
    assert "SERVER__SHARED: cannot make a folder in /nonexistent" in done.stdout
    assert "Traceback" not in done.stdout


def test_off_costs_nothing_and_answers_nothing(service: Rendered, run: Run) -> None:
    port = free_port()
    process = run(service, PROMETHEUS__ENABLED="false", PROMETHEUS__PORT=str(port))
    assert process.http.get("/metrics").status_code == 404
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"http://127.0.0.1:{port}/metrics")
    program = "import sys; from app.main import create_app; create_app(); print('prometheus_client' in sys.modules)"
    for enabled in ("false", "true"):
        done = service.run("timeit", "-n1", "-r1", "-s", program, "pass", settings={"PROMETHEUS__ENABLED": enabled})
        assert done.stdout.splitlines()[0] == str(enabled == "true"), done.stdout
