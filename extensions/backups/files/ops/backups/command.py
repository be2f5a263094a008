"""The command line: its commands and their output. Every failure is one line and an exit status."""

import argparse
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from app.core.data.engine import DatabaseSettings
from app.core.errors import ConfigurationInvalid
from app.core.settings import Group, ServiceSettings, Settings, load
from ops.backups import database, making, restoring
from ops.backups.copies import NEWEST, NONE_YET, Copies
from ops.backups.errors import BackupError, BackupRefused, Failures, NotConfirmed
from ops.backups.local import Directory
from ops.backups.making import say, warn
from ops.backups.manifest import Manifest
from ops.backups.metrics import Metrics
from ops.backups.sealing import check_sums, new_key
from ops.backups.settings import BackupsSettings
from ops.backups.stores import stores

SETTINGS: list[type[Group]] = [ServiceSettings, DatabaseSettings, BackupsSettings]
"""The settings that this tool reads. The others of the service need not be there."""


class Run:
    """One command, with what it needs."""

    def __init__(self, arguments: argparse.Namespace, settings: Settings) -> None:
        self.arguments = arguments
        self.settings = settings
        self.mine = settings.of(BackupsSettings)
        self.service = settings.of(ServiceSettings).name
        self.directory = Directory(self.mine.directory, making.key_of(self.mine))
        path = self.mine.metrics or self.mine.directory / "backups.prom"
        self.metrics = Metrics(path, self.service)

    def backup(self) -> None:
        """Make one and check it; delete what is old and send what is new. No step hinders the next one."""
        if not self.directory.key:
            say("BACKUPS__KEY is not set: the backup is not encrypted")
        failures = Failures()
        with self.directory.alone():
            with failures.kept():
                self._make()
            with failures.kept():
                making.prune(self.directory, self.mine, self.service)
            for store in stores(self.mine):
                with failures.kept():
                    if making.send(store, self.directory, self.service, failures):
                        self.metrics.set("backup_copy_timestamp_seconds", time.time(), store=store.name)
                    making.prune(store, self.mine, self.service)
        failures.raised()

    def _make(self) -> None:
        manifest = making.make(self.settings, self.directory)
        folder = self.directory.folder(manifest.id)
        check_sums(manifest, folder)
        making.verify(self.settings, self.directory, manifest, folder)
        say(f"made {manifest.id}: {manifest.rows} rows, {_size(manifest.size)}, in {folder}")
        self.metrics.set("backup_size_bytes", manifest.size)
        self.metrics.set("backup_rows", manifest.rows)

    def prune(self) -> None:
        """Delete what is old, everywhere."""
        failures = Failures()
        with self.directory.alone():
            for place in making.everywhere(self.mine, self.directory):
                with failures.kept():
                    making.prune(place, self.mine, self.service)
        failures.raised()

    def list(self) -> None:
        """Show all that there is, newest first."""
        found: dict[str, list[str]] = {}
        lines: dict[str, str] = {}
        refused: dict[str, str] = {}
        failures = Failures()
        for place in making.everywhere(self.mine, self.directory):
            with failures.kept():
                for backup_id, manifest in making.of_service(place, self.service):
                    if isinstance(manifest, BackupRefused):
                        refused[backup_id] = str(manifest)
                        found.setdefault(backup_id, []).append(f"{place.name} (damaged)")
                        continue
                    found.setdefault(backup_id, []).append(place.name)
                    lines[backup_id] = _line(manifest)
        for backup_id in sorted(found, reverse=True):
            say(f"{backup_id}  {lines.get(backup_id) or refused[backup_id]}  {', '.join(found[backup_id])}")
        failures.raised()
        if not found:
            say(NONE_YET.format(self.service))

    def verify(self) -> None:
        """Read backups whole, and replace damaged copies by whole ones; with `--all` each backup of this machine."""
        failures = Failures()
        with self.directory.alone():
            copies = Copies(self.settings, self.directory)
            ids = [*self._of_this_key()] if self.arguments.all else [self.arguments.id]
            for backup_id in ids:
                with failures.kept():
                    self._verify(copies, backup_id)
        if self.arguments.all:
            failures += copies.unread
        Failures([*copies.damaged, *failures]).raised()
        copies.told()

    def _of_this_key(self) -> Iterator[str]:
        key = self.directory.key
        for backup_id, manifest in making.of_service(self.directory, self.service):
            if key and isinstance(manifest, Manifest) and manifest.key not in {None, key.fingerprint}:
                say(f"{backup_id} was made with the key {manifest.key}: it is not read")
            else:
                yield backup_id

    def _verify(self, copies: Copies, backup_id: str) -> None:
        with copies.fetched(backup_id) as (manifest, folder):
            making.verify(self.settings, self.directory, manifest, folder)
            say(f"{manifest.id} is whole: {manifest.rows} rows in {len(manifest.tables)} tables")
            copies.repair(manifest, folder)

    def restore(self) -> None:
        """Put one in the place of what is there."""
        with self.directory.alone():
            copies = Copies(self.settings, self.directory)
            with copies.fetched(self.arguments.id) as (manifest, folder):
                copies.told()
                restoring.check(self.settings, manifest)
                database.refuse_running(self.settings.of(DatabaseSettings))
                say(f"{manifest.id} has the state of {manifest.time:%Y-%m-%d %H:%M:%S} UTC: {manifest.rows} rows")
                self._confirm()
                for name in restoring.restore(self.settings, self.directory, manifest, folder):
                    say(f"what was there is kept as {name}")
                say(f"restored {manifest.id}: bring it to the newest revision (`alembic upgrade head`), then start")

    def _confirm(self) -> None:
        if self.arguments.yes:
            return
        if not sys.stdin.isatty():
            raise NotConfirmed("there is no terminal to confirm it: repeat the command with --yes; nothing was changed")
        sys.stdout.write("It takes the place of what the service has now. Type yes to go on: ")
        sys.stdout.flush()
        if sys.stdin.readline().strip().lower() != "yes":
            raise NotConfirmed("not confirmed: nothing was changed")

    def drill(self) -> None:
        """Restore one beside the database, compare, throw it away, and say how long it took."""
        with self.directory.alone():
            done = restoring.drill(self.settings, Copies(self.settings, self.directory), self.arguments.id)
        tables = len(done.manifest.tables)
        say(f"{done.manifest.id}: {done.manifest.rows} rows in {tables} tables are what was backed up")
        say(f"restored in {done.seconds:.1f} s (RTO); its state is {done.age:.0f} s old (RPO, if all were lost now)")
        self.metrics.set("backup_drill_restore_seconds", round(done.seconds, 3))
        self.metrics.set("backup_drill_loss_seconds", round(done.age, 3))


def parser() -> argparse.ArgumentParser:
    """Return the parser of what follows `python -m ops`."""
    made = argparse.ArgumentParser(prog="python -m ops", description="Backups of the service's data.")
    commands = made.add_subparsers(dest="command", required=True)
    commands.add_parser("backup", help="make one, check it, send it to the stores, delete what is old")
    commands.add_parser("list", help="show those that there are, newest first")
    commands.add_parser("prune", help="delete what is old")
    commands.add_parser("key", help="make a key for BACKUPS__KEY")
    for name, about in (
        ("verify", "read one whole"),
        ("restore", "put one in the place of what is there; the service has to be stopped"),
        ("drill", "restore one beside the database, compare it row by row, and throw it away"),
    ):
        command = commands.add_parser(name, help=about)
        command.add_argument("id", nargs="?", default=NEWEST, help="which; left out, the newest")
        if name == "verify":
            command.add_argument("--all", action="store_true", help="all of this machine that this key opens")
        if name == "restore":
            command.add_argument("--yes", action="store_true", help="do not ask")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0, or the status of what went wrong: docs/backups.md lists them.
    """
    asked = parser().parse_args(arguments)
    if asked.command == "key":
        say(new_key())
        return 0
    run = None
    began = time.monotonic()
    try:
        run = Run(asked, load(SETTINGS))
        getattr(run, asked.command)()
        status = 0
    except ConfigurationInvalid as error:
        status = _refuse(2, *error.mistakes)
    except BackupError as error:
        status = _refuse(error.status, *map(str, error.args))
    except KeyboardInterrupt:
        status = _refuse(130, "interrupted")
    if run and asked.command in {"backup", "drill", "verify", "prune"}:
        _note(run, status, time.monotonic() - began)
    return status


def _refuse(status: int, *lines: str) -> int:
    for line in lines:
        warn(line)
    return status


def _note(run: Run, status: int, seconds: float) -> None:
    """Leave the result for alerts. Where that fails, the metrics grow old, which is an alert too."""
    metrics, command = run.metrics, run.arguments.command
    now = datetime.now(UTC).timestamp()
    metrics.set("backup_last_run_timestamp_seconds", now, command=command)
    metrics.set("backup_last_status", status, command=command)
    if status == 0:
        metrics.set("backup_last_success_timestamp_seconds", now, command=command)
        metrics.set("backup_duration_seconds", round(seconds, 3), command=command)
    try:
        disk = shutil.disk_usage(run.directory.path)
        metrics.set("backup_disk_bytes", disk.total)
        metrics.set("backup_disk_available_bytes", disk.free)
        metrics.write()
    except OSError as error:
        _refuse(status, f"{metrics.path}: {error.strerror}: the metrics were not written")


def _line(manifest: Manifest) -> str:
    locked = "encrypted" if manifest.key else "plain"
    return (
        f"{manifest.time:%Y-%m-%d %H:%M:%S} UTC  {_size(manifest.size):>9}  {manifest.rows} rows  "
        f"{manifest.database} {manifest.server}  revision {','.join(manifest.revision) or 'none'}  {locked}"
    )


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
