"""A server that speaks the protocol of S3, as a process that a test can kill, freeze and start again."""

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx2


class Server:
    """One server on a port of its own, with one bucket, `files`."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "s3.log"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    @property
    def settings(self) -> dict[str, str]:
        """Return the settings with which uploads find it."""
        key = {"access_key": "an-id-of-a-key", "secret_key": "not-ours"}
        return {"bucket": "files", "endpoint": self.url, "timeout": "20", **key}

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
        for _ in range(4000):
            try:
                self.ask("PUT", "/files")
            except httpx2.TransportError:
                assert self.process.poll() is None, self.log.read_text()
                time.sleep(0.01)
            else:
                return
        raise RuntimeError(self.log.read_text())

    def ask(self, method: str, path: str) -> httpx2.Response:
        """A request past the service."""
        return httpx2.request(method, self.url + path, timeout=20)

    def names(self) -> list[str]:
        """Every object."""
        return re.findall("<Key>(.*?)</Key>", self.ask("GET", "/files").text)

    def unfinished(self) -> list[str]:
        """Every object that was begun and not finished."""
        return re.findall("<UploadId>(.*?)</UploadId>", self.ask("GET", "/files?uploads").text)

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """Let it stand: connections stay open, and no answer comes."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.send_signal(signal.SIGCONT)
