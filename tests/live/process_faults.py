"""Faults of processes, files and servers at random moments."""

import asyncio
import os
import random
import resource
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.live.cluster import Cluster
from tests.live.faulty_proxy import KINDS, Message
from tests.live.history import History, Kill

UNLIMITED = resource.RLIM_INFINITY


class Randomly:
    """A fault at some messages: at the commit more often than elsewhere."""

    def __init__(self, seed: int, *, elsewhere: float = 0.004, commit: float = 0.03) -> None:
        self.random = random.Random(seed)  # noqa: S311  # no secret
        self.elsewhere, self.commit = elsewhere, commit

    def __call__(self, message: Message) -> str | None:
        """The fault, if this is its moment."""
        rate = self.commit if message.statement.startswith("COMMIT") else self.elsewhere
        return self.random.choice(KINDS) if self.random.random() < rate else None


class Faults:
    """The faults of the instances, and of SQLite's file or PostgreSQL's server."""

    def __init__(self, made: Cluster, history: History, *, seed: int) -> None:
        self.made = made
        self.history = history
        self.random = random.Random(seed)  # noqa: S311  # no secret
        self.injected: Counter[str] = Counter()

    async def run(self, until: float) -> None:
        """Go on until then; all is well again at the end."""
        if self.made.proxy is not None:
            self.made.proxy.decide = Randomly(self.random.randrange(2**32))
        # Never two of the first group at a time: events that wait for a full disk would go with a process.
        processes = [self.kill, self.freeze]
        servers = [self.disconnect, self.crash]
        if self.made.server is None:
            processes, servers = [*processes, self.fill], [self.lock, self.stop_the_queue]
        await asyncio.gather(self._inject(processes, until), self._inject(servers, until))
        if self.made.proxy is not None:
            self.made.proxy.heal()
            self.injected += self.made.proxy.injected

    async def _inject(self, kinds: Sequence[Callable[[], None]], until: float) -> None:
        round_of: list[Callable[[], None]] = []
        while time.monotonic() < until - 3:  # what is injected last has an effect too
            await asyncio.sleep(self.random.uniform(0.1, 0.7))
            round_of = round_of or self.random.sample(kinds, len(kinds))  # a short run has each of them too
            kind = round_of.pop()
            self.injected[kind.__name__] += 1
            await asyncio.to_thread(kind)

    def kill(self) -> None:
        """End an instance at once, and start it again."""
        number = self.random.randrange(len(self.made.instances))
        self.made.instances[number].kill()
        self.history.kills.append(Kill(number, time.monotonic()))
        self.made.restart(number)

    def freeze(self) -> None:
        """Stop an instance where it is: at times for longer than its clients wait, or than its claim on a key holds."""
        group = self.random.choice(self.made.instances).process.pid
        os.killpg(group, signal.SIGSTOP)
        try:
            time.sleep(self.random.choice((0.2, 0.5, 1.0, 5.0)))
        finally:
            os.killpg(group, signal.SIGCONT)

    def lock(self) -> None:
        """Hold the file's lock for longer than anybody waits for it."""
        with closing(sqlite3.connect(self._file(), timeout=20, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            time.sleep(self.random.uniform(0.5, 2.0))
            connection.execute("ROLLBACK")

    def fill(self) -> None:
        """Let no file grow, or be written at all: the nearest to a full disk that needs no rights."""
        log = Path(f"{self._file()}-wal")
        most = self.random.choice((0, 4096, log.stat().st_size if log.exists() else 0))
        processes = self._processes()
        for process in processes:
            _limit(process, most)
        try:
            time.sleep(self.random.uniform(0.2, 1.5))
        finally:
            for process in processes:
                _limit(process, UNLIMITED)
        time.sleep(1.5)  # the audit trail tries once a second: what waits for it would go with a process that is killed

    def stop_the_queue(self) -> None:
        """End the server in which jobs wait, for at times longer than a request waits for it."""
        assert self.made.queue is not None
        self.made.queue.kill()
        time.sleep(self.random.choice((0.1, 1.0, 4.0)))
        self.made.queue.start()

    def disconnect(self) -> None:
        """Have the server end every session."""
        assert self.made.server is not None
        others = "datname = current_database() AND pid <> pg_backend_pid()"
        self.made.server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}", url=self.made.database
        )

    def crash(self) -> None:
        """End the server at once, and start it again."""
        assert self.made.server is not None
        self.made.server.kill()
        self.made.server.start()

    def _file(self) -> str:
        return self.made.database.partition("///")[2]

    def _processes(self) -> list[psutil.Process]:
        found = [psutil.Process(instance.process.pid) for instance in self.made.instances]
        return [*found, *(child for one in found for child in one.children(recursive=True))]


def _limit(process: psutil.Process, size: int) -> None:
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))
