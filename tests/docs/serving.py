"""A command that serves, run until it answers and stopped afterwards."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from tests.live.environment import clean
from tests.live.service import free_port

BOUND = 60.0
"""Seconds until it has to answer, on a busy machine too."""


@contextmanager
def serving(command: str, folder: Path) -> Iterator[str]:
    """Yields its address. The port is a free one, since the one that pages name may be taken."""
    port = free_port()
    log = folder.parent / f"serving-{port}.log"
    with log.open("w") as stream:
        process = subprocess.Popen(
            ["bash", "-c", command],
            cwd=folder,
            env={**clean(), "SERVER__PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + BOUND
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            with suppress(httpx2.TransportError):
                if httpx2.get(f"{address}/health/ready", timeout=5).status_code == 200:
                    break
            time.sleep(0.1)
        yield address
    finally:
        # As Ctrl+C at a terminal does it: to everything that the command has started.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(timeout=BOUND)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=BOUND)
            raise
