"""The format of a stored member: compressed by gzip, then encrypted by age. Other programs read both formats."""

import hashlib
import hmac
import zlib
from pathlib import Path
from typing import IO, Protocol

import pyrage  # type: ignore[import-untyped]

from ops.backups.errors import BackupRefused
from ops.backups.manifest import Manifest, Member

BLOCK = 262_144
GZIP = 31
"""zlib's name for windows of 32 KiB in gzip's format."""


class Target(Protocol):
    """The destination of content."""

    def write(self, data: bytes, /) -> object:
        """Take some of it."""


class Key:
    """An age identity, alone or as a file of age's has it, and what is derived from it.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        try:
            self.identity = pyrage.x25519.Identity.from_str("".join(lines))
        except pyrage.IdentityError:
            raise ValueError("is no age identity, AGE-SECRET-KEY-1...: make one with `python -m ops key`") from None
        self.recipient = self.identity.to_public()
        self.fingerprint = hashlib.sha256(str(self.recipient).encode()).hexdigest()[:16]
        self.secret = hashlib.sha256(b"manifest" + str(self.identity).encode()).digest()


def new_key() -> str:
    """A new identity, below its public half, as a file of age's has them."""
    identity = pyrage.x25519.Identity.generate()
    return f"# public key: {identity.to_public()}\n{identity}"


class Compressed:
    """Compress a stream, for age to read from."""

    def __init__(self, source: IO[bytes]) -> None:
        self.source = source
        self.error: Exception | None = None
        self._packer = zlib.compressobj(6, zlib.DEFLATED, GZIP)
        self._ready = b""
        self._over = False

    def read(self, size: int = BLOCK) -> bytes:
        """The next bytes."""
        try:
            while not self._ready and not self._over:
                block = self.source.read(BLOCK)
                self._over = not block
                self._ready = self._packer.compress(block) if block else self._packer.flush()
        except Exception as error:
            self.error = error
            raise
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken


class Written:
    """A file that is summed up while it is written. What fails is kept: age would tell of it in words alone."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self.sum = hashlib.sha256()
        self.error: Exception | None = None

    def write(self, data: bytes) -> int:
        """Write it."""
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.size += len(data)
        self.sum.update(data)
        return len(data)

    def flush(self) -> None:
        """Age asks for it in the end; closing does it."""


class Expanded:
    """Expands what it is given, and hands it on."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.error: Exception | None = None
        self.unpacker = zlib.decompressobj(GZIP)

    def write(self, data: bytes) -> int:
        """Hand it on."""
        try:
            content = self.unpacker.decompress(data)
            if content:
                self.target.write(content)
        except Exception as error:
            self.error = error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""


def seal(source: IO[bytes], folder: Path, name: str, key: Key | None, path: str | None = None) -> Member:
    """Store all that a stream gives.

    Raises:
        OSError: the file could not be written, or the stream not be read.
    """
    name = f"{name}.gz.age" if key else f"{name}.gz"
    packed = Compressed(source)
    with (folder / name).open("xb") as file:
        written = Written(file)
        if key:
            try:
                pyrage.encrypt_io(packed, written, [key.recipient])
            except pyrage.EncryptError:
                raise (written.error or packed.error or OSError("age failed")) from None
        else:
            while data := packed.read():
                written.write(data)
        file.flush()
    return Member(name=name, size=written.size, sha256=written.sum.hexdigest(), path=path)


def unseal(folder: Path, member: Member, key: Key | None, target: Target) -> None:
    """Give the content of a member back.

    Raises:
        BackupRefused: it cannot be decrypted or expanded.
    """
    expanded = Expanded(target)
    try:
        with (folder / member.name).open("rb") as file:
            if member.name.endswith(".age"):
                pyrage.decrypt_io(file, expanded, [key.identity] if key else [])
            else:
                while data := file.read(BLOCK):
                    expanded.write(data)
    except (pyrage.DecryptError, OSError, zlib.error) as error:
        if expanded.error is not None and not isinstance(expanded.error, zlib.error):
            raise expanded.error from None
        raise BackupRefused(f"{folder / member.name} is damaged: {error}") from None
    if not expanded.unpacker.eof or expanded.unpacker.unused_data:
        raise BackupRefused(f"{folder / member.name} is damaged: it is not whole")


def check_key(manifest: Manifest, key: Key | None) -> None:
    """Check that this key opens a backup, and that the manifest is unchanged.

    Raises:
        BackupRefused: it does not, or the manifest was changed.
    """
    if manifest.key and not key:
        raise BackupRefused(f"backup {manifest.id} is encrypted: set BACKUPS__KEY to the key {manifest.key}")
    if key and not manifest.key:
        raise BackupRefused(
            f"backup {manifest.id} is not encrypted, and its origin cannot be verified: "
            "to use it all the same, run this once with BACKUPS__KEY set to nothing"
        )
    if key and manifest.key != key.fingerprint:
        raise BackupRefused(
            f"backup {manifest.id} was made with the key {manifest.key}, and BACKUPS__KEY is {key.fingerprint}"
        )
    if key and not hmac.compare_digest(manifest.seal or "", manifest.sealed(key.secret)):
        raise BackupRefused(f"backup {manifest.id} was changed after it was made: its manifest is not the signed one")


def check_sums(manifest: Manifest, folder: Path, where: str = "") -> None:
    """Check that the files are the ones that were stored. `where` is the place of the copy, for the message.

    Raises:
        BackupRefused: one is missing, cut off, changed or cannot be read.
    """
    for member in manifest.members:
        try:
            with (folder / member.name).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            said = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
            raise BackupRefused(f"backup {manifest.id} is damaged{where}: {member.name} {said}") from error
        if found != member.sha256:
            raise BackupRefused(f"backup {manifest.id} is damaged{where}: {member.name} is not what was stored")
