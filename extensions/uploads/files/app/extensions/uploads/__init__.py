"""Uploads: files that clients send, checked while they arrive. Import `routes` or `UploadsDep` from here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from anyio import to_thread

from app.core.component import Check, Component, State
from app.core.settings import Settings
from app.extensions.uploads.checks import UploadsSettings
from app.extensions.uploads.receiving import (
    UPLOAD_FORM,
    UPLOAD_RESPONSES,
    Batch,
    FileResult,
    Uploads,
    UploadsDep,
)
from app.extensions.uploads.routes import routes
from app.extensions.uploads.storage import Directory, Record

if TYPE_CHECKING:
    from app.extensions.uploads.bucket import Bucket

__all__ = [
    "UPLOAD_FORM",
    "UPLOAD_RESPONSES",
    "Batch",
    "FileResult",
    "Record",
    "Uploads",
    "UploadsDep",
    "UploadsSettings",
    "component",
    "routes",
]


def component(settings: Settings) -> Component:
    """Open the storage. It adds no routes: a feature calls `routes`, with guards."""
    mine = settings.of(UploadsSettings)
    storage = _storage(mine)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        if isinstance(storage, Directory):
            await to_thread.run_sync(storage.prepare)
        yield {"uploads": Uploads(mine, storage)}

    # Not critical: other routes go on without it.
    check = Check(name="uploads", probe=lambda _: storage.probe(), critical=False, timeout=3.0)
    return Component(name="uploads", lifespan=lifespan, checks=[check])


def _storage(settings: UploadsSettings) -> "Directory | Bucket":
    if not settings.bucket:
        return Directory(settings.directory)
    from app.extensions.uploads.bucket import Bucket  # its client is slow to import

    return Bucket(settings)
