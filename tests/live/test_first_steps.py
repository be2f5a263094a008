"""The first hour with a service, from nothing, by its README: make setup, make check, make test, make run."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.live.environment import clean, uv
from tests.live.service import ORDERS, free_port, order
from tests.matrix.combinations import label
from tests.render import render
from tests.tree import CHOICES


def make(root: Path, *arguments: str) -> str:
    """Run a target as a newcomer does, in an environment that names nothing of this repository."""
    environment = clean() | {"PATH": f"{Path(uv()).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["make", *arguments],
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


ROWS: list[dict[str, Any]] = [{"preset": "production", "database": database} for database in CHOICES["database"]]


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("answers", ROWS, ids=label)
def test_from_nothing_to_an_order(answers: dict[str, Any], tmp_path: Path) -> None:
    root = render(tmp_path / "service", answers)
    make(root, "setup")
    assert (root / "uv.lock").exists()
    secrets = (root / ".env").read_text()
    assert "change-me" not in "".join(line for line in secrets.splitlines(True) if not line.startswith("#"))
    assert (root / ".env").stat().st_mode & 0o077 == 0
    log = subprocess.run(["git", "log", "--oneline"], cwd=root, capture_output=True, text=True, check=True, env=clean())
    assert len(log.stdout.splitlines()) == 1
    assert ".env" not in subprocess.check_output(["git", "ls-files"], cwd=root, text=True, env=clean()).split()
    assert (root / ".git" / "hooks" / "pre-commit").exists()
    make(root, "setup")  # once more does no harm
    assert (root / ".env").read_text() == secrets
    make(root, "check")
    make(root, "test")
    serves(root)


def serves(root: Path) -> None:
    """`make run` answers, in production's settings, and `make` takes its servers down with it."""
    port = free_port()
    environment = clean() | {"SERVER__PORT": str(port)}
    log = root.parent / "run.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            ["make", "run"],
            cwd=root,
            env=environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process, log)
        placed = httpx2.post(url + ORDERS, json=order("first"), timeout=20)
        assert placed.status_code == 201
        assert httpx2.get(url + placed.headers["location"], timeout=20).json() == placed.json()
        assert httpx2.get(f"{url}/docs", timeout=20).status_code == 404
        assert httpx2.get(f"{url}/health", timeout=20).json()["status"] == "ok"
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # as a terminal does it with Ctrl-C, to all of them
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until it is ready."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(httpx2.TransportError):
            if httpx2.get(f"{url}/health/ready", timeout=5).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(log.read_text())
