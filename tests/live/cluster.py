"""Several instances of one service on one database, all that they write to, and what is stored there at the end."""

import json
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.extensions import valkey
from tests.live import faulty_proxy, postgres
from tests.live.conftest import sql
from tests.live.faulty_proxy import Proxy
from tests.live.history import Posting, Stored
from tests.live.service import Rendered, Service

TABLES = (
    "CREATE TABLE entries (reference VARCHAR(40) PRIMARY KEY, value VARCHAR(40) NOT NULL, version INTEGER NOT NULL)",
    "CREATE TABLE ledger (id {key}, reference VARCHAR(40) NOT NULL, value VARCHAR(40) NOT NULL,"
    " version INTEGER NOT NULL)",
)
KEYS = {"sqlite": "INTEGER PRIMARY KEY", "postgres": "BIGSERIAL PRIMARY KEY"}
QUEUED = """
local found = {}
for _, list in ipairs(redis.call('KEYS', 'saq:*:queued')) do
  for _, job in ipairs(redis.call('LRANGE', list, 0, -1)) do found[#found + 1] = redis.call('GET', job) or '{}' end
end
return table.concat(found, '\\n')
"""


class Cluster:
    """The instances, each on a port that it keeps, and where everything is that they write to."""

    def __init__(
        self,
        rendered: Rendered,
        directory: Path,
        settings: Mapping[str, str],
        *,
        server: postgres.Server | None,
        proxy: Proxy | None,
        queue: valkey.Server | None,
    ) -> None:
        self.database = rendered.database
        self.directory = directory
        self.server, self.proxy, self.queue = server, proxy, queue
        self.trail = directory / "audit.jsonl"
        self.settings = {**settings, "AUDIT__PATH": str(self.trail)}
        url = self.database
        if proxy is not None:
            url = f"postgresql://postgres@127.0.0.1:{proxy.port}{urlsplit(url).path}"
        self.rendered = Rendered(rendered.root, rendered.python, database=url)
        self.instances: list[Service] = []
        self.workers: list[int] = []

    def _service(self, number: int, settings: Mapping[str, str], *, port: int | None = None) -> Service:
        log = self.directory / f"service-{number}.log"
        return Service(self.rendered, log, {**self.settings, **settings}, port=port)

    def start(self, workers: Sequence[int]) -> None:
        """Start one instance for each number, with that many workers."""
        self.instances = [self._service(number, {"SERVER__WORKERS": str(of)}) for number, of in enumerate(workers)]
        self.workers = list(workers)
        for instance in self.instances:
            instance.ready()

    def restart(self, number: int) -> None:
        """Start an instance that was killed, on its port; again where a fault ends its start."""
        settings = {"SERVER__WORKERS": str(self.workers[number])}
        for _ in range(10):
            self.instances[number] = self._service(number, settings, port=self.instances[number].port)
            try:
                self.instances[number].ready()
            except AssertionError:
                self.instances[number].kill()
            else:
                return
        raise AssertionError(f"instance {number} does not start:\n{self.instances[number].text()[-2000:]}")

    def stop(self) -> None:
        """Stop every instance, so that each writes what it still has."""
        for instance in self.instances:
            instance.signal(signal.SIGTERM)
        for instance in self.instances:
            instance.process.wait(timeout=40)

    def kill(self) -> None:
        """End whatever is still there."""
        for instance in self.instances:
            instance.kill()

    def text(self) -> str:
        """Return the logs of the instances."""
        return "".join(instance.text() for instance in self.instances)

    def stored(self) -> Stored:
        """The present contents. No client writes any more."""
        self._wait_for_the_last_transaction()
        rows = [
            Posting(value, ref, int(version))
            for value, ref, version in self._rows("value, reference, version", "ledger")
        ]
        entries = {
            ref: (value, int(version)) for ref, value, version in self._rows("reference, value, version", "entries")
        }
        records = [json.loads(line) for line in self.trail.read_text().splitlines()]
        told = [record for record in records if record["name"] == "entry_written"]
        return Stored(
            ledger=rows,
            entries=entries,
            events=Counter(record["subject"] for record in told if "outcome" not in record),
            events_unknown=Counter(record["subject"] for record in told if record.get("outcome") == "unknown"),
            jobs=Counter(job["kwargs"]["value"] for job in self._jobs()),
            jobs_are_rows=self.queue is None,
        )

    def _wait_for_the_last_transaction(self) -> None:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + 20
        while self.server is not None and sql(self.database, others, self.server) != "0":
            assert time.monotonic() < deadline, "a connection is left"
            time.sleep(0.1)

    def _rows(self, columns: str, table: str) -> list[list[str]]:
        if self.server is None:
            with closing(sqlite3.connect(self.database.partition("///")[2])) as connection:
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                return [list(row) for row in connection.execute(f"SELECT {columns} FROM {table}")]
        found = self.server.execute(f"SELECT {columns} FROM {table}", url=self.database)
        return [line.split("|") for line in found.splitlines()]

    def _jobs(self) -> Iterator[dict[str, Any]]:
        if self.queue is None:
            assert self.server is not None
            waiting = self.server.execute("SELECT convert_from(job, 'UTF8') FROM saq_jobs", url=self.database)
        else:
            waiting = _evaluated(self.queue, QUEUED)
        for line in waiting.splitlines():
            yield json.loads(line)


def _evaluated(server: valkey.Server, script: str) -> str:
    """The text that a Lua script returns."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        parts = ["EVAL", script, "0"]
        command = f"*{len(parts)}\r\n" + "".join(f"${len(part.encode())}\r\n{part}\r\n" for part in parts)
        connection.sendall(command.encode())
        with connection.makefile("rb") as answer:
            head = answer.readline()
            assert head.startswith(b"$"), head
            return answer.read(int(head[1:])).decode()


@contextmanager
def cluster(
    rendered: Rendered,
    directory: Path,
    settings: Mapping[str, str],
    *,
    workers: Sequence[int],
    server: postgres.Server | None = None,
    delays: tuple[float, float] = (0.3, 2.5),
    frozen: float = 3.0,
) -> Iterator[Cluster]:
    """A service with a cache, and on SQLite with a queue beside it, ready; on PostgreSQL behind a faulty proxy."""
    kind = "sqlite" if server is None else "postgres"
    for table in TABLES:
        sql(rendered.database, table.format(key=KEYS[kind]), server)
    (directory / "cache").mkdir()
    (directory / "queue").mkdir()
    with valkey.serve(directory / "cache") as cache, valkey.serve(directory / "queue", durable=True) as queue:
        given = {
            "REDIS__URL": cache.url,
            "AUDIT__FLUSH_INTERVAL": "0.01",
            "IDEMPOTENCY__LEASE": "4",
            "LOG__LEVEL": "WARNING",
            "LIFECYCLE__DRAIN": "0",
            **settings,
        }
        if server is None:
            given["WORKER__URL"] = queue.url
            made = Cluster(rendered, directory, given, server=None, proxy=None, queue=queue)
            yield from _run(made, workers)
            return
        socket_file = Path(parse_qs(urlsplit(rendered.database).query)["host"][0]) / ".s.PGSQL.5432"
        with faulty_proxy.serve(str(socket_file), delay=delays[0], long_delay=delays[1], frozen=frozen) as proxy:
            yield from _run(Cluster(rendered, directory, given, server=server, proxy=proxy, queue=None), workers)


def _run(made: Cluster, workers: Sequence[int]) -> Iterator[Cluster]:
    try:
        made.start(workers)
        yield made
    finally:
        made.kill()
