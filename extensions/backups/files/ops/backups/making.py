"""Makes a backup: dump, compress, encrypt, describe, check, keep, send, and prune what is old."""

import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.core.data.engine import DatabaseSettings
from app.core.observability.redaction import scrub
from app.core.settings import ServiceSettings, Settings
from ops.backups import database, folders
from ops.backups.errors import BackupRefused, Failures, LastGoodBackup, disk
from ops.backups.local import Directory, Place
from ops.backups.manifest import Manifest, compare, new_id
from ops.backups.sealing import Key, check_sums, seal, unseal
from ops.backups.settings import BackupsSettings
from ops.backups.stores import Store, stores

Say = Callable[[str], object]


def key_of(settings: BackupsSettings) -> Key | None:
    """The key, where there is one."""
    return Key(settings.key.get_secret_value()) if settings.key else None


def say(line: str) -> None:
    """A line for people."""
    sys.stdout.write(f"{line}\n")


def warn(line: str) -> None:
    """A line for people about what went wrong."""
    sys.stderr.write(f"ops: {scrub(' '.join(line.split()))}\n")


def make(settings: Settings, directory: Directory) -> Manifest:
    """Make a backup in the folder of this machine.

    Raises:
        BackupError: nothing was kept.
    """
    service, where = settings.of(ServiceSettings), settings.of(DatabaseSettings)
    mine = settings.of(BackupsSettings)
    database.check_tools(where)
    key, backup_id = directory.key, new_id(datetime.now(UTC))
    with directory.work(backup_id) as work, disk(directory.path):
        # The database first: a file that it knows of is stored before, and so is in the backup too.
        with database.snapshot(where, work) as found:
            members = [seal(found.stream, work, "database", key)]
        for number, path in enumerate(mine.paths, start=1):
            with folders.packed(Path(path).resolve()) as stream:
                members.append(seal(stream, work, f"path-{number}.tar", key, path))
        manifest = Manifest(
            id=backup_id,
            time=found.time,
            service=service.name,
            version=service.version,
            database=database.KIND,
            server=found.server,
            revision=found.revision,
            tables=found.tables,
            members=members,
            key=key.fingerprint if key else None,
        )
        manifest.seal = manifest.sealed(key.secret) if key else None
        keep = {member.name for member in members}
        for scratch in [path for path in work.iterdir() if path.name not in keep]:
            scratch.unlink()
        directory.keep(manifest, work)
    return manifest


def verify(settings: Settings, directory: Directory, manifest: Manifest, folder: Path) -> None:
    """Read a backup whole, as a restore would. Its key and its checksums were checked before.

    Raises:
        BackupRefused: it cannot be restored.
    """
    if manifest.database != database.KIND:
        raise BackupRefused(f"backup {manifest.id} is of {manifest.database}, and this service has {database.KIND}")
    with directory.work("verify") as work:
        for member in manifest.members:
            if member.path is None:
                copy = database.inspect(settings.of(DatabaseSettings), manifest, work)
                with copy.target() as target:
                    unseal(folder, member, directory.key, target)
                compare(manifest.id, manifest.tables, copy.tables)
                copy.discard()
            else:
                unpacked = folders.Unpacked(work / member.name)
                with unpacked.target() as target:
                    unseal(folder, member, directory.key, target)
                unpacked.discard()


def send(store: Store, directory: Directory, service: str, damaged: Failures) -> list[str]:
    """Send a store each backup of this machine that it does not have. Returns their ids, and notes damaged ones.

    Raises:
        StoreFailed: the store cannot be reached, or refuses.
    """
    sent, there = [], store.ids()
    for backup_id, manifest in of_service(directory, service):
        if backup_id in there or isinstance(manifest, BackupRefused):
            continue
        folder = directory.folder(backup_id)
        try:
            check_sums(manifest, folder)
        except BackupRefused as error:
            damaged.append(error)
            continue
        store.send(manifest, folder)
        sent.append(backup_id)
        say(f"sent {backup_id} to bucket {store.bucket} ({store.name})")
    return sent


def of_service(place: Place, service: str) -> Iterator[tuple[str, Manifest | BackupRefused]]:
    """Return the backups of a service, newest first; of an unreadable manifest, the reason."""
    for backup_id in reversed(place.ids()):
        try:
            manifest = place.manifest(backup_id)
        except BackupRefused as error:
            yield backup_id, error
            continue
        if manifest.service == service:
            yield backup_id, manifest


def staying(times: Mapping[str, datetime], settings: BackupsSettings) -> set[str]:
    """Return the ids that stay: all of the last day, and the newest of so many days, weeks and months.

    Days without a backup do not count, so none goes where no new ones come.
    """
    newest_first = sorted(times, key=lambda backup_id: times[backup_id], reverse=True)
    if not newest_first:
        return set()
    recent = times[newest_first[0]] - timedelta(days=1)
    kept = {backup_id for backup_id in newest_first if times[backup_id] > recent}
    rules: list[tuple[int, Callable[[datetime], object]]] = [
        (settings.keep_daily, lambda time: time.date()),
        (settings.keep_weekly, lambda time: time.isocalendar()[:2]),
        (settings.keep_monthly, lambda time: (time.year, time.month)),
    ]
    for number, period in rules:
        seen: dict[object, str] = {}
        for backup_id in newest_first:
            seen.setdefault(period(times[backup_id]), backup_id)
        kept |= set(list(seen.values())[:number])
    return kept


def prune(place: Place, settings: BackupsSettings, service: str, tell: Say = say) -> list[str]:
    """Delete what is old of a service, unless nothing that can be restored would stay.

    Raises:
        LastGoodBackup: nothing would; nothing was deleted.
    """
    known: dict[str, Manifest] = {}
    for backup_id, manifest in of_service(place, service):
        if isinstance(manifest, BackupRefused):
            tell(f"{manifest}: left where it is, in {place.name}")
        else:
            known[backup_id] = manifest
    kept = staying({backup_id: manifest.time for backup_id, manifest in known.items()}, settings)
    going = sorted(set(known) - kept)
    if going and not any(place.good(known[backup_id]) for backup_id in sorted(kept, reverse=True)):
        raise LastGoodBackup(
            f"none of the {len(kept)} backups that would stay ({place.name}) can be restored: nothing was deleted; "
            "make a new one, then prune again"
        )
    for backup_id in going:
        place.delete(backup_id)
        tell(f"deleted {backup_id} ({place.name})")
    return going


def everywhere(settings: BackupsSettings, directory: Directory) -> list[Place]:
    """The folder of this machine, then the stores."""
    found: list[Store] = stores(settings)
    return [directory, *found]
