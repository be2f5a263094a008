"""A slice whose every write leaves a row of a ledger, an event, a job, and a cache entry that is forgotten.

Nothing here is unique but the reference of an entry: what is written twice can be counted.
"""

import os
from functools import partial
from typing import Annotated

from fastapi import Depends
from sqlalchemy import BigInteger, String, insert, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from app.core.component import Component, State
from app.core.concurrency import ExpectedVersion
from app.core.database import Database, DatabaseDep, emit_once_committed, once_committed
from app.core.errors import NotFound, PreconditionFailed
from app.core.models import Base
from app.core.schema import Schema
from app.core.telemetry import BusinessEvent
from app.core.versioning import versioned
from app.extensions.redis import Cache, CacheDep, cached, key_for
from app.extensions.worker import Jobs, JobsDep, job

router = versioned("entries")
ENTRY = "entry:{reference}"


class Entry(Base):
    """Something that is made, changed and deleted."""

    __tablename__ = "entries"
    reference: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[str] = mapped_column(String(40))
    version: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # as SQLAlchemy has it


class Posting(Base):
    """One write, with the version that it made: zero for a deletion."""

    __tablename__ = "ledger"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    reference: Mapped[str] = mapped_column(String(40))
    value: Mapped[str] = mapped_column(String(40))
    version: Mapped[int]


class Content(Schema):
    """The content that a client writes: a value that no one else ever writes."""

    value: str


class Shown(Schema):
    """An entry as it is read: version 0 is one that is not there."""

    value: str
    version: int


@job()
async def index(state: State, value: str) -> None:
    """Never carried out: the checker counts what waits."""


class Follow:
    """The jobs and the cache, which a write needs beside its session."""

    def __init__(self, jobs: JobsDep, cache: CacheDep) -> None:
        self.jobs: Jobs = jobs
        self.cache: Cache = cache


FollowDep = Annotated[Follow, Depends()]


async def post(session: AsyncSession, follow: Follow, reference: str, value: str, version: int) -> Shown:
    """Leave all the traces of one write."""
    await session.flush()
    await session.execute(insert(Posting).values(reference=reference, value=value, version=version))
    emit_once_committed(session, BusinessEvent("entry_written", subject=value))
    forget = partial(follow.cache.invalidate, key_for(ENTRY, reference=reference))
    once_committed(session, forget, if_unknown=forget)
    await follow.jobs.enqueue(index.later(value), within=session)
    return Shown(value=value, version=version)


async def add(database: Database, follow: Follow, reference: str, value: str) -> Shown:
    """Make an entry in one transaction."""
    async with database.transaction() as session:
        session.add(Entry(reference=reference, value=value))
        return await post(session, follow, reference, value, 1)


async def locked(session: AsyncSession, reference: str, version: int) -> Entry:
    """The entry, unless another caller has changed it.

    Raises:
        NotFound: there is none.
        PreconditionFailed: it has another version.
    """
    entry = await session.get(Entry, reference, with_for_update=True)
    if entry is None:
        raise NotFound
    if entry.version != version:
        raise PreconditionFailed
    return entry


@cached(ttl=3600, key=ENTRY)
async def find(reference: str, database: Database) -> Shown:
    """The entry, from the database."""
    async with database.read() as connection:
        row = (await connection.execute(select(Entry.value, Entry.version).where(Entry.reference == reference))).first()
    return Shown.model_validate(row) if row else Shown(value="", version=0)


@router.get("/{reference}")
async def read(reference: str, database: DatabaseDep) -> Shown:
    """The entry, from the cache."""
    return await find(reference, database)


@router.post("/{reference}", status_code=201)
async def create(reference: str, content: Content, database: DatabaseDep, follow: FollowDep) -> Shown:
    """Make an entry."""
    return await add(database, follow, reference, content.value)


@router.put("/{reference}")
async def change(
    reference: str, content: Content, version: ExpectedVersion, database: DatabaseDep, follow: FollowDep
) -> Shown:
    """Change an entry that no one else has changed."""
    async with database.transaction() as session:
        entry = await locked(session, reference, version)
        entry.value = content.value
        return await post(session, follow, reference, content.value, version + 1)


@router.delete("/{reference}")
async def delete(
    reference: str, value: str, version: ExpectedVersion, database: DatabaseDep, follow: FollowDep
) -> Shown:
    """Delete an entry, for good."""
    async with database.transaction() as session:
        await session.delete(await locked(session, reference, version))
        return await post(session, follow, reference, value, 0)


def component() -> Component:
    """Return the component of this slice."""
    if mutant := os.environ.get("MUTANT"):
        from app.features import liars

        liars.become(mutant)
    return Component(name="entries", routers=[router])
