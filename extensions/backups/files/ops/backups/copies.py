"""The copies of backups in all places: one that cannot be read or is damaged is replaced by another one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from app.core.settings import ServiceSettings, Settings
from ops.backups.errors import BackupError, BackupRefused, BackupUnknown, Failures
from ops.backups.local import Directory, Place
from ops.backups.making import everywhere, of_service, warn
from ops.backups.manifest import Manifest
from ops.backups.sealing import check_key, check_sums
from ops.backups.settings import BackupsSettings
from ops.backups.stores import Store

NEWEST = "newest"
NONE_YET = "there is no backup yet of {}: make one with `python -m ops backup`"


class Copies:
    """The places that can be read, and their backups."""

    def __init__(self, settings: Settings, directory: Directory) -> None:
        self.directory = directory
        self.service = settings.of(ServiceSettings).name
        self.places: list[tuple[Place, list[str]]] = []
        self.unread = Failures()
        """The errors of places that cannot be read."""
        self.damaged = Failures()
        """The errors of copies that cannot be used."""
        for place in everywhere(settings.of(BackupsSettings), directory):
            with self.unread.kept():
                self.places.append((place, place.ids()))

    def newest(self) -> str:
        """Return the newest id of the service in all places.

        Raises:
            BackupUnknown: there is no backup at all.
        """
        found = []
        for place, _ in self.places:
            with self.unread.kept():
                found += [backup_id for backup_id, _ in islice(of_service(place, self.service), 1)]
        if not found:
            self.unread.raised()
            raise BackupUnknown(NONE_YET.format(self.service))
        return max(found)

    @contextmanager
    def fetched(self, backup_id: str) -> Iterator[tuple[Manifest, Path]]:
        """A backup's manifest and a folder with its files: those of this machine if they are whole, else a store's.

        Raises:
            BackupUnknown: it is nowhere.
            BackupError: no copy can be used; the message tells of each.
        """
        if backup_id == NEWEST:
            backup_id = self.newest()
        tried = Failures()
        with ExitStack() as leaving:
            for place in (place for place, ids in self.places if backup_id in ids):
                try:
                    manifest = self._manifest(place, backup_id)
                    folder = leaving.enter_context(place.opened(manifest, self.directory))
                    check_sums(manifest, folder, place.where)
                except BackupError as error:
                    tried.append(error)
                    continue
                if tried:
                    tried.append(BackupRefused(f"backup {backup_id}: the copy{place.where} is used"))
                self.damaged += tried
                yield manifest, folder
                return
        Failures([*tried, *self.unread]).raised()
        raise BackupUnknown(f"there is no backup {backup_id[:60]!r}: `python -m ops list` shows those that there are")

    def _manifest(self, place: Place, backup_id: str) -> Manifest:
        manifest = place.manifest(backup_id)
        if manifest.service != self.service:
            raise BackupRefused(
                f"backup {backup_id} is of the service {manifest.service}, and this one is {self.service}: "
                f"to use it all the same, run this once with SERVICE__NAME={manifest.service}"
            )
        check_key(manifest, self.directory.key)
        return manifest

    def repair(self, manifest: Manifest, folder: Path) -> None:
        """Replace each other copy that is damaged by this one, which is whole."""
        for place, ids in reversed(self.places):  # this machine last: it takes the folder
            if manifest.id not in ids:
                continue
            with self.unread.kept():
                if isinstance(place, Store) and not place.good(manifest):
                    place.send(manifest, folder)
                elif isinstance(place, Directory) and folder != place.folder(manifest.id):
                    place.delete(manifest.id)
                    place.keep(manifest, folder)
                else:
                    continue
                self.damaged.append(BackupRefused(f"backup {manifest.id} was damaged{place.where}: it was replaced"))

    def told(self) -> None:
        """Warn of the places and copies that could not be used."""
        for line in Failures([*self.unread, *self.damaged]).lines():
            warn(line)
