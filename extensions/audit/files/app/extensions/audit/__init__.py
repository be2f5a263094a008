"""The tamper-evident audit log: business and security events in a file that shows any change."""

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread

from app.core.component import Check, Component, State
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from app.core.telemetry import BusinessEvent, SecurityEvent, listening
from app.extensions.audit.chain import Chain, record_of
from app.extensions.audit.settings import AuditSettings
from app.extensions.audit.writer import AuditWriter

__all__ = ["AuditSettings", "component"]

logger = logging.getLogger(__name__)


def component(settings: Settings) -> Component:
    """Record events while the service is open, and write the last ones before it ends."""
    mine = settings.of(AuditSettings)
    writer = AuditWriter(Chain(mine.path, mine.sealing_key), flush_interval=mine.flush_interval, backlog=mine.backlog)

    def listen(event: BusinessEvent | SecurityEvent) -> None:
        if event.name not in mine.leave_out:
            writer.put(record_of(event))

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        await to_thread.run_sync(_prepare, writer, mine)
        try:
            with listening(BusinessEvent, listen), listening(SecurityEvent, listen):
                yield {}
        finally:
            await to_thread.run_sync(writer.stop)
            logger.info("audit trail closed", extra={"head": str(writer.head)})

    async def probe(_: State) -> Mapping[str, Any]:
        if writer.failing is not None:
            raise writer.failing
        return {"pending": writer.pending}

    check = Check(name="audit", probe=probe, critical=mine.required)
    return Component(name="audit", lifespan=lifespan, checks=[check])


def _prepare(writer: AuditWriter, settings: AuditSettings) -> None:
    try:
        settings.path.parent.mkdir(parents=True, exist_ok=True)
        writer.open()
    except OSError as error:
        raise ConfigurationInvalid(
            f"AUDIT__PATH: cannot write to {settings.path} ({error.strerror}): name another file"
        ) from error
    if settings.key is None:
        logger.warning("AUDIT__KEY is not set: anyone who can write to the audit log can forge all records")
    logger.info("audit trail opened", extra={"head": str(writer.head)})
