"""Copies in S3-compatible stores. A copy counts when its manifest is there, which is sent last and removed first."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from ops.backups.errors import BackupRefused, BackupUnknown, StoreFailed, disk
from ops.backups.local import Directory
from ops.backups.manifest import ID, NAME, Manifest, read
from ops.backups.sealing import BLOCK
from ops.backups.settings import BackupsSettings

CHUNK = 8_388_608
"""Bytes of a part. S3 takes 10,000 parts, so a member may have 80 GB."""


class Store:
    """One bucket."""

    def __init__(self, name: str, settings: BackupsSettings, prefix: str = "") -> None:
        def setting(field: str) -> Any:
            return getattr(settings, f"{prefix}{field}")

        self.name = name
        self.prefix = settings.prefix
        self.bucket = setting("bucket")
        self.where = f" in bucket {self.bucket} ({name})"
        seconds = timedelta(seconds=settings.timeout)
        more = {}
        if setting("access_key"):
            more = {
                "access_key_id": setting("access_key"),
                "secret_access_key": setting("secret_key").get_secret_value(),
            }
        if setting("endpoint"):
            more["endpoint"] = setting("endpoint")
        self.store = S3Store(
            self.bucket,
            region=setting("region"),
            checksum_algorithm="SHA256",  # the store refuses what it did not get as it was sent
            client_options={
                "timeout": seconds,
                "connect_timeout": min(seconds, timedelta(seconds=5)),
                "allow_http": (setting("endpoint") or "").startswith("http://"),
            },
            retry_config={"max_retries": 2, "retry_timeout": seconds},
            **more,
        )

    @contextmanager
    def _told(self, *, may_be_missing: bool = False) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            if may_be_missing and isinstance(error, FileNotFoundError):
                raise
            # Without the dump of the client's insides, which is forty lines.
            why = " ".join(str(error).partition("\n\nDebug source")[0].split())[:300]
            raise StoreFailed(f"bucket {self.bucket} ({self.name}): {why}: see BACKUPS__BUCKET and its key") from error

    def ids(self) -> list[str]:
        """The backups that are there whole, oldest first."""
        with self._told():
            found = [entry["path"] for page in obstore.list(self.store, self.prefix) for entry in page]
        names = (path.removeprefix(self.prefix).split("/") for path in found)
        return sorted(name[0] for name in names if ID.fullmatch(name[0]) and name[1:] == [NAME])

    def manifest(self, backup_id: str) -> Manifest:
        """Return the facts of one backup.

        Raises:
            BackupUnknown: it is not there.
        """
        try:
            with self._told(may_be_missing=True):
                text = bytes(obstore.get(self.store, f"{self.prefix}{backup_id}/{NAME}").bytes())
        except FileNotFoundError:
            raise BackupUnknown(f"there is no backup {backup_id[:60]!r} in bucket {self.bucket}") from None
        return read(text, backup_id, self.where)

    def send(self, manifest: Manifest, folder: Path) -> None:
        """Send one, its manifest last."""
        for name in [*(member.name for member in manifest.members), NAME]:
            with self._told():
                obstore.put(self.store, f"{self.prefix}{manifest.id}/{name}", folder / name, chunk_size=CHUNK)
        if not self.good(manifest):
            raise StoreFailed(f"bucket {self.bucket} ({self.name}): it did not keep what was sent: send it again")

    @contextmanager
    def opened(self, manifest: Manifest, directory: Directory) -> Iterator[Path]:
        """Bring one here, until it was used."""
        with directory.work(f"fetch-{self.name}") as folder:
            self._fetch(manifest, folder)
            (folder / NAME).write_text(manifest.model_dump_json())
            yield folder

    def _fetch(self, manifest: Manifest, folder: Path) -> None:
        for member in manifest.members:
            try:
                with self._told(may_be_missing=True):
                    blocks = obstore.get(self.store, f"{self.prefix}{manifest.id}/{member.name}").stream(BLOCK)
                with disk(folder), (folder / member.name).open("xb") as file:
                    while (block := self._next(blocks)) is not None:
                        file.write(block)
            except FileNotFoundError:
                raise BackupRefused(f"backup {manifest.id} is damaged: {member.name} is not in {self.bucket}") from None

    def _next(self, blocks: Any) -> Any:
        with self._told():
            return next(blocks, None)

    def good(self, manifest: Manifest) -> bool:
        """Return whether each file is there with its size; the store itself held the checksums when they were sent."""
        try:
            with self._told(may_be_missing=True):
                sizes = [
                    obstore.head(self.store, f"{self.prefix}{manifest.id}/{member.name}")["size"]
                    for member in manifest.members
                ]
        except FileNotFoundError:
            return False
        return sizes == [member.size for member in manifest.members]

    def delete(self, backup_id: str) -> None:
        """Remove one."""
        with self._told():
            found = [entry["path"] for page in obstore.list(self.store, f"{self.prefix}{backup_id}/") for entry in page]
            for path in sorted(found, key=lambda path: not path.endswith(f"/{NAME}")):
                obstore.delete(self.store, path)


def stores(settings: BackupsSettings) -> list[Store]:
    """The stores that copies are sent to: none, one, or one and its replica."""
    found = [Store("store", settings)] if settings.bucket else []
    return [*found, Store("replica", settings, "replica_")] if settings.replica_bucket else found
