"""Log files: each log line also goes to a file of its kind."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.component import Check, Component, State
from app.core.settings import ServiceSettings, Settings
from app.core.telemetry import BusinessEvent, SecurityEvent, listening
from app.extensions.log_files.settings import LogFilesSettings
from app.extensions.log_files.writer import FileHandler, LogWriter, auditor

__all__ = ["LogFilesSettings", "component"]


def component(settings: Settings) -> Component:
    """Write the files while the service is open."""
    mine, service = settings.of(LogFilesSettings), settings.of(ServiceSettings)

    @asynccontextmanager
    async def lifespan(_: State) -> AsyncIterator[State]:
        writer = LogWriter(mine)
        writer.start()
        files = {stream: file.append for stream, file in writer.files.items()}
        audit = auditor(files["audit"], service=service.name, version=service.version)
        handler = FileHandler(files, service=service.name, version=service.version, own=mine.streams)
        logging.getLogger().addHandler(handler)
        try:
            with listening(BusinessEvent, audit), listening(SecurityEvent, audit):
                yield {"log_files": writer}
        finally:
            logging.getLogger().removeHandler(handler)
            await asyncio.to_thread(writer.close)

    async def probe(state: State) -> None:
        writer: LogWriter = state["log_files"]
        if writer.trouble:
            raise OSError(writer.trouble)

    return Component(name="log_files", lifespan=lifespan, checks=[Check(name="log_files", probe=probe, critical=False)])
