"""The table of keys: the claims of requests, the marks of commits, and the answers."""

import json
import time
from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.core.data import engine
from app.core.database import Database, DatabaseUnreachable
from app.core.errors import ConfigurationInvalid, OutcomeUnknown

Headers = Sequence[tuple[bytes, bytes]]

# Not in the metadata of the service: `alembic check` does not see the table.
KEYS = sa.Table(
    "idempotency_keys",
    sa.MetaData(),
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("lease", sa.BigInteger, nullable=False),
    sa.Column("expires", sa.BigInteger, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("headers", sa.Text),
    sa.Column("body", sa.LargeBinary),
    sa.Index("ix_idempotency_keys_expires", "expires"),
)

# A key is free again when it has expired, or when the lease of a request without a commit has.
CLAIM = sa.text(
    """
    INSERT INTO idempotency_keys (id, fingerprint, token, lease, expires, done)
    VALUES (:id, :fingerprint, :token, :lease, :expires, FALSE)
    ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, token = excluded.token,
      lease = excluded.lease, expires = excluded.expires, done = FALSE, status = NULL, headers = NULL, body = NULL
    WHERE idempotency_keys.expires <= :now OR (NOT idempotency_keys.done AND idempotency_keys.lease <= :now
      AND idempotency_keys.fingerprint IN (excluded.fingerprint, :former))
    RETURNING token
    """
)
FIND = sa.text("SELECT fingerprint, lease, done, status, headers, body FROM idempotency_keys WHERE id = :id")
MARK = sa.text("UPDATE idempotency_keys SET done = TRUE WHERE id = :id AND token = :token")
KEEP = sa.text(
    "UPDATE idempotency_keys SET done = TRUE, lease = 0, status = :status, headers = :headers, body = :body "
    "WHERE id = :id AND token = :token"
)
RELEASE = sa.text("DELETE FROM idempotency_keys WHERE id = :id AND token = :token AND NOT done")
END = sa.text("UPDATE idempotency_keys SET lease = 0 WHERE id = :id AND token = :token")
REMOVE = sa.text(
    "DELETE FROM idempotency_keys WHERE id IN (SELECT id FROM idempotency_keys WHERE expires <= :now LIMIT 1000)"
)


class Claim(NamedTuple):
    """The right to process a request, until the lease ends."""

    id: str
    token: str


class Answer(NamedTuple):
    """An answer. `status` is None if it was not stored."""

    status: int | None
    headers: Headers
    body: bytes


class Record(NamedTuple):
    """The state of a key that another request has."""

    fingerprint: str
    running: bool
    """True if the other request has no answer yet; else there is an answer, or it is lost."""
    answer: Answer


class KeyStore:
    """Keys in the database. Each change is its own transaction, except `mark`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def prepare(self) -> None:
        """Create the table if it is missing, one process at a time, as with migrations."""
        async with self._database.engine.connect() as connection:
            if await connection.run_sync(lambda plain: sa.inspect(plain).has_table(KEYS.name)):
                return
            await connection.rollback()
            try:
                await connection.run_sync(_create)
            except DBAPIError as error:
                raise ConfigurationInvalid(f"cannot create the table {KEYS.name}: {error.orig}") from error

    async def claim(
        self, claim: Claim, fingerprint: str, *, lease: float, keep: float, former: str = ""
    ) -> Record | None:
        """Claim the key and return None, or return the state of the key. `former`: see `Fingerprint`."""
        now = _milliseconds()
        values = {
            "id": claim.id,
            "fingerprint": fingerprint,
            "former": former,
            "token": claim.token,
            "lease": now + int(lease * 1000),
            "expires": now + int(keep * 1000),
            "now": now,
        }
        try:
            async with self._database.transaction(bookkeeping=True) as session:
                if (await session.execute(CLAIM, values)).first() is not None:
                    return None
                found = (await session.execute(FIND, {"id": claim.id})).one()
        except OutcomeUnknown as error:
            raise DatabaseUnreachable from error  # of the claim only: the request was not processed
        except DBAPIError:
            # Locked for too long, by a request whose COMMIT is not decided yet.
            async with self._database.read() as connection:
                locked = (await connection.execute(FIND, {"id": claim.id})).one_or_none()
            if locked is None:
                raise
            found = locked
        named = json.loads(found.headers or "[]")
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in named]
        running = found.lease > now or not found.done  # not done after its lease: of another request, so refused
        return Record(found.fingerprint, running, Answer(found.status, headers, bytes(found.body or b"")))

    async def mark(self, claim: Claim, session: AsyncSession) -> bool:
        """Mark the key in the transaction of the request itself. Return false if the key is lost."""
        return bool((await session.execute(MARK, claim._asdict())).rowcount)  # type: ignore[attr-defined]

    async def keep(self, claim: Claim, answer: Answer, *, if_done: bool = False) -> None:
        """Store the answer. With `if_done`, release the key instead if nothing was committed."""
        names = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
        values = {"status": answer.status, "headers": json.dumps(names), "body": answer.body}
        async with self._database.transaction(bookkeeping=True) as session:
            if if_done:
                await session.execute(RELEASE, claim._asdict())
            await session.execute(KEEP, {**claim._asdict(), **values})

    async def release(self, claim: Claim) -> None:
        """Release the key, or end its lease if the request has committed."""
        async with self._database.transaction(bookkeeping=True) as session:
            await session.execute(RELEASE, claim._asdict())
            await session.execute(END, claim._asdict())

    async def remove_old(self) -> None:
        """Remove expired keys, 1000 at a time, so that no request waits long."""
        removed = 1
        while removed:
            async with self._database.transaction(bookkeeping=True) as session:
                removed = (await session.execute(REMOVE, {"now": _milliseconds()})).rowcount  # type: ignore[attr-defined]


def _create(connection: sa.Connection) -> None:
    with engine.migration_lock(connection):
        KEYS.metadata.create_all(connection)
        connection.commit()


def _milliseconds() -> int:
    return int(time.time() * 1000)
