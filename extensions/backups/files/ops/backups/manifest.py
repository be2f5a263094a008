"""The manifest beside the files of a backup, signed if there is a key."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from ops.backups.errors import BackupRefused

FORMAT = 1
NAME = "manifest.json"
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{4}")


class Table(BaseModel):
    """The content of a table: how many rows, and a sum over all of them that does not depend on their order."""

    rows: int
    checksum: str


class Member(BaseModel):
    """One file of a backup."""

    name: str
    size: int
    sha256: str
    path: str | None = None
    """The folder or file that it has; the database's has none."""


class Manifest(BaseModel):
    """One backup."""

    model_config = ConfigDict(extra="forbid")

    format: int = FORMAT
    id: str
    time: datetime
    """The moment whose state it has."""
    service: str
    version: str
    database: str
    server: str
    revision: list[str]
    tables: dict[str, Table]
    members: list[Member]
    key: str | None
    """The fingerprint of the key."""
    seal: str | None = None
    """Return the signature of all other entries, the checksums of the members included."""

    @property
    def size(self) -> int:
        """Bytes, of all members."""
        return sum(member.size for member in self.members)

    @property
    def rows(self) -> int:
        """Rows, of all tables."""
        return sum(table.rows for table in self.tables.values())

    def sealed(self, secret: bytes) -> str:
        """Return the signature by this secret."""
        return hmac.new(secret, self.model_dump_json(exclude={"seal"}).encode(), hashlib.sha256).hexdigest()


def new_id(now: datetime) -> str:
    """An id that sorts by time and that no other machine gives at the same second."""
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def read(text: bytes, backup_id: str, where: str = "") -> Manifest:
    """Read a manifest. `where` is the place of the copy, for the message.

    Raises:
        BackupRefused: it is none, that of another backup, or from another version of this tool.
    """
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError:
        found = re.search(rb'"format":\s*(\d+)', text)
        if found and int(found[1]) != FORMAT:
            raise BackupRefused(_other_format(backup_id, int(found[1]))) from None
        raise BackupRefused(f"backup {backup_id} is damaged{where}: its manifest cannot be read") from None
    if manifest.format != FORMAT:
        raise BackupRefused(_other_format(backup_id, manifest.format))
    if manifest.id != backup_id or any(Path(member.name).name != member.name for member in manifest.members):
        raise BackupRefused(f"backup {backup_id} is damaged{where}: its manifest is that of another one")
    return manifest


def _other_format(backup_id: str, found: int) -> str:
    return f"backup {backup_id} has format {found} and this version reads {FORMAT}: use the version that made it"


def summed(rows: Iterable[tuple[object, ...]]) -> Table:
    """Count rows and sum up their hashes."""
    count = total = 0
    for row in rows:
        count += 1
        total += int.from_bytes(hashlib.blake2b(repr(row).encode(), digest_size=8).digest())
    return Table(rows=count, checksum=f"{total % 2**64:016x}")


def compare(backup_id: str, wanted: Mapping[str, Table], found: Mapping[str, Table]) -> None:
    """Hold what was restored against what was backed up, row by row.

    Raises:
        BackupRefused: they differ.
    """
    wrong = sorted(name for name in {*wanted, *found} if wanted.get(name) != found.get(name))
    if wrong:
        raise BackupRefused(f"backup {backup_id} does not give back what was in it: {', '.join(wrong)} differ")
