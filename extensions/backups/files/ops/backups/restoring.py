"""Restores a backup: check, restore beside, compare, and only then swap. A drill stops before the swap."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alembic.script import ScriptDirectory

from app.core.data import migrations
from app.core.data.engine import DatabaseSettings
from app.core.settings import Settings
from ops.backups import database, folders
from ops.backups.copies import Copies
from ops.backups.errors import BackupRefused
from ops.backups.local import Directory
from ops.backups.manifest import Manifest, compare
from ops.backups.sealing import unseal
from ops.backups.settings import BackupsSettings


@dataclass(frozen=True)
class Drilled:
    """The figures of a drill."""

    manifest: Manifest
    seconds: float
    """From the start until all rows were there and compared."""
    age: float
    """Seconds between the state that the backup has and the start of the drill: what would have been lost."""


def check(settings: Settings, manifest: Manifest) -> None:
    """Check what can be known before anything is restored.

    Raises:
        BackupRefused: it does not fit this database or this version of the service.
    """
    if manifest.database != database.KIND:
        raise BackupRefused(f"backup {manifest.id} is of {manifest.database}, and this service has {database.KIND}")
    known = {script.revision for script in ScriptDirectory(str(migrations.VERSIONS.parent)).walk_revisions()}
    if unknown := sorted(set(manifest.revision) - known):
        raise BackupRefused(
            f"backup {manifest.id} is at revision {', '.join(unknown)}, which this version of the service does not "
            f"know: restore it with version {manifest.version}"
        )
    database.check_tools(settings.of(DatabaseSettings), manifest.server)


@contextmanager
def restored(
    settings: Settings, directory: Directory, manifest: Manifest, folder: Path, scratch: Path | None = None
) -> Iterator[tuple[database.Copy, list[folders.Unpacked]]]:
    """Everything restored beside what is there, and compared row by row. What is not swapped is gone in the end.

    With `scratch` folders and files go there: they need no place of their own.

    Raises:
        BackupRefused: the rows are not the ones that were backed up.
    """
    paths = settings.of(BackupsSettings).paths
    copy = database.beside(settings.of(DatabaseSettings), manifest)
    with ExitStack() as leaving:
        leaving.callback(copy.discard)
        unpacked = []
        for member in manifest.members:
            if member.path is None:
                with copy.target() as target:
                    unseal(folder, member, directory.key, target)
            else:
                place = scratch / member.name if scratch else folders.place_of(member.path, paths)
                unpacked.append(folders.Unpacked(place))
                leaving.callback(unpacked[-1].discard)
                with unpacked[-1].target() as target:
                    unseal(folder, member, directory.key, target)
        compare(manifest.id, manifest.tables, copy.tables)
        yield copy, unpacked


def restore(settings: Settings, directory: Directory, manifest: Manifest, folder: Path) -> list[str]:
    """Put a checked backup in the place of what is there, or leave all as it was. Returns the names of what is kept.

    Raises:
        InUse: the service runs.
        DiskFailed: a folder cannot be replaced.
    """
    where = settings.of(DatabaseSettings)
    database.refuse_running(where)
    stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
    with restored(settings, directory, manifest, folder) as (copy, unpacked):
        database.refuse_running(where)  # it may have been started meanwhile
        with ExitStack() as back:
            aside = []
            for place in unpacked:
                back.callback(place.undo)
                aside.append(place.swap(stamp))
            kept = [copy.swap(stamp), *aside]  # the database in one step, and the last: nothing can fail behind it
            back.pop_all()
    return [str(name) for name in kept if name]


def drill(settings: Settings, copies: Copies, backup_id: str) -> Drilled:
    """Restore a backup beside the database, compare it row by row, and throw it away.

    Raises:
        BackupError: it could not be restored, or is not what was backed up.
    """
    began, now = time.monotonic(), datetime.now(UTC)
    directory = copies.directory
    with copies.fetched(backup_id) as (manifest, folder):
        copies.told()
        check(settings, manifest)
        with directory.work("drill") as scratch, restored(settings, directory, manifest, folder, scratch):
            seconds = time.monotonic() - began
    return Drilled(manifest, seconds, (now - manifest.time).total_seconds())
