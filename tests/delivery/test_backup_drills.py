"""Drills as an operator does them: with the commands of docs/backups.md, and nothing else."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.docs.markdown import commands, section
from tests.live.conftest import Make, new_database, postgres_server, rendered, shared
from tests.live.service import BOUND, ORDERS, Rendered, free_port, order, running

__all__ = ["new_database", "postgres_server", "rendered", "shared"]  # the fixtures of the live tests
ANSWERS: dict[str, Any] = {
    "database": "sqlite",
    "extensions": ["audit"],
    "delivery": ["docker", "backups"],
    "ci": "none",
}
DOCKER = """\
#!/bin/sh
# Runs what a container would run, and notes the rest.
echo "$COMPOSE_FILE: $*" >>{calls}
case " $* " in *" run "*) ;; *) exit 0 ;; esac
until [ "$1" = --no-deps ]; do shift; done
shift 2
exec "$@"
"""


class Operator:
    """A shell in the folder of the service, with its settings."""

    def __init__(self, service: Rendered, settings: dict[str, str]) -> None:
        self.service, self.settings = service, settings
        self.page = (service.root / "docs" / "backups.md").read_text()
        self.programs = service.root / "programs"
        self.programs.mkdir()

    def program(self, name: str, text: str) -> None:
        """Put a program before all others of its name."""
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o755)

    def enter(self, command: str, status: int = 0) -> str:
        """Enter a command, and return what it says."""
        environment = self.service.environment(self.settings)
        environment["PATH"] = f"{self.programs}:{environment['PATH']}"
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=self.service.root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == status, done.stdout
        return done.stdout

    def follow(self, heading: str) -> str:
        """Enter the commands of a section in one shell. A restore asks, and the answer is yes."""
        found = commands(section(self.page, heading))
        return self.enter(
            "\n".join(["set -e", *(f"{each} --yes" if each.endswith("restore") else each for each in found)])
        )


@contextmanager
def stores(python: Path, folder: Path) -> Iterator[str]:
    """Run a server with the buckets `one` and `two`, and yield its URL."""
    port = free_port()
    command = [str(python), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (folder / "store.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + BOUND
            for bucket in ("one", "two"):
                while True:
                    with suppress(httpx2.TransportError):
                        httpx2.put(f"{url}/{bucket}").raise_for_status()
                        break
                    assert time.monotonic() < deadline, (folder / "store.log").read_text()
                    time.sleep(0.1)
            yield url
        finally:
            process.kill()


@pytest.fixture
def operator(rendered: Make, tmp_path: Path) -> Operator:
    """An operator of a service with an audit log, and with a backup of the first of its two orders."""
    service = rendered(**ANSWERS, copy=True)
    data = tmp_path / "data"
    data.mkdir()
    settings = {
        "AUDIT__PATH": str(data / "audit.jsonl"),
        "AUDIT__KEY": "the-key-of-this-drill",
        "BACKUPS__DIRECTORY": str(tmp_path / "backups"),
        "BACKUPS__PATHS": f"{data / 'audit.jsonl.head'},{data / 'audit.jsonl'}",
    }
    made = Operator(service, settings)
    with running(service, tmp_path / "service.log", settings) as process:
        process.http.post(ORDERS, json=order("kept")).raise_for_status()
        made.enter("python -m ops backup")
        process.http.post(ORDERS, json=order("lost")).raise_for_status()
        process.stop()
    return made


def names(operator: Operator) -> list[str]:
    """The events of the audit log."""
    return [json.loads(line)["name"] for line in Path(operator.settings["AUDIT__PATH"]).read_text().splitlines()]


def test_after_a_restore_the_audit_log_verifies_and_has_a_record_of_it(operator: Operator, tmp_path: Path) -> None:
    kept, lost = names(operator)
    assert kept == lost
    operator.follow("Restore")
    assert operator.enter("python -m app.extensions.audit verify").startswith("2 records are as they were written")
    assert names(operator) == [kept, "audit_trail_restored"]
    with running(operator.service, tmp_path / "again.log", operator.settings) as process:
        found = process.http.get(ORDERS).json()
        assert [each["reference"] for each in found["items"]] == ["kept"]
        process.http.post(ORDERS, json=order("later")).raise_for_status()
        process.stop()
    assert operator.enter("python -m app.extensions.audit verify").startswith("3 records are as they were written")


def test_a_new_machine_is_restored_from_the_replica_while_the_first_store_is_dead(
    operator: Operator, tmp_path: Path
) -> None:
    with stores(operator.service.python, tmp_path) as url:
        operator.settings |= {
            "BACKUPS__BUCKET": "one",
            "BACKUPS__ENDPOINT": url,
            "BACKUPS__ACCESS_KEY": "an-id",
            "BACKUPS__SECRET_KEY": "a-secret",
            "BACKUPS__REPLICA_BUCKET": "two",
            "BACKUPS__REPLICA_ENDPOINT": url,
            "BACKUPS__REPLICA_ACCESS_KEY": "an-id",
            "BACKUPS__REPLICA_SECRET_KEY": "a-secret",
        }
        operator.enter("python -m ops backup")
        before = names(operator)
        shutil.rmtree(operator.settings["BACKUPS__DIRECTORY"])
        shutil.rmtree(Path(operator.settings["AUDIT__PATH"]).parent)
        Path(operator.service.database.partition("///")[2]).unlink()
        operator.settings |= {"BACKUPS__ENDPOINT": "http://127.0.0.1:1", "BACKUPS__TIMEOUT": "2"}
        operator.enter("python -m ops list", status=6)
        said = operator.follow("Restore")
    assert "bucket one (store)" in said
    assert names(operator) == [*before, "audit_trail_restored"]
    operator.enter("python -m app.extensions.audit verify")


def test_the_steps_for_compose_restore_it_too(operator: Operator, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    operator.program("docker", DOCKER.format(calls=calls))
    operator.program("make", f"#!/bin/sh\necho make $* >>{calls}\n")
    assert "restored 2" in operator.follow("Restore with Compose")
    operator.enter("python -m app.extensions.audit verify")
    assert names(operator)[-1] == "audit_trail_restored"
    entered = calls.read_text().splitlines()
    assert (entered[0], entered[-1]) == ("compose.production.yaml: compose down", "make production")


def test_a_damaged_backup_is_named_by_the_commands_of_the_page(operator: Operator, tmp_path: Path) -> None:
    (file,) = (tmp_path / "backups").glob("2*/database.gz")
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    for command in commands(section(operator.page, "Test a backup")):
        assert f"backup {file.parent.name} is damaged" in operator.enter(command, status=3)
