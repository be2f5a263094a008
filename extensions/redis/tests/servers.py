"""A server from the wheel, which a test can kill, freeze and start again."""

import signal
from pathlib import Path

from dev.servers import redis


class Server:
    """One server on a port of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = redis.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        self.process = redis.start(self.directory, self.port)

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
