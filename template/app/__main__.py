"""`python -m app`: check the settings, then serve or run another process. A wrong setting is one line, no traceback."""

import argparse
import asyncio
import sys

import structlog

from app.core.errors import ConfigurationInvalid
from app.core.http.application import Service
from app.core.observability import logging
from app.core.observability.logging import LogSettings
from app.core.observability.redaction import Scrubbed, scrub
from app.core.server import serve
from app.core.server.serve import ServerSettings
from app.core.settings import ServiceSettings, Settings, load
from app.main import create_app, default_components, load_settings, run


def main() -> int:
    """Run the service.

    Returns:
        2 if the configuration is wrong, 3 if something did not open, such as the database: another start may succeed.
    """
    parser = argparse.ArgumentParser(prog="python -m app", description="Serve, or run another process of the service.")
    parser.add_argument("process", nargs="?", help="the process to run in place of the server")
    parser.add_argument("--reload", action="store_true", help="restart when a file below app/ changes")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        service = settings.of(ServiceSettings)
        logging.configure(
            settings.of(LogSettings), service=service.name, version=service.version, production=service.production
        )
        if arguments.process is None:
            serve.run(settings.of(ServerSettings), reload=arguments.reload)
        else:
            work(arguments.process, settings)
    except ConfigurationInvalid as error:
        return refuse(error)
    return 0


def create() -> Service:
    """Build the application in a process of the server: at a reload a wrong setting is one line, too."""
    try:
        return create_app()
    except ConfigurationInvalid as error:
        sys.exit(refuse(error))


def work(name: str, settings: Settings) -> None:
    """Run one of the processes of the components.

    Raises:
        ConfigurationInvalid: no process has this name, or something did not open.
    """
    components = default_components(settings)
    processes = {name: process for component in components for name, process in component.processes.items()}
    if name not in processes:
        known = f"run one of {', '.join(processes)}" if processes else "no enabled option has one"
        raise ConfigurationInvalid(f"there is no process {name!r}: {known}")
    asyncio.run(run(processes[name], components, settings))


def refuse(error: ConfigurationInvalid) -> int:
    """Log each mistake, in the format of the logs here. Return the exit status."""
    try:
        service = load([ServiceSettings]).of(ServiceSettings)
    except ConfigurationInvalid:
        service = ServiceSettings(name="", version="")
    logging.configure(LogSettings(), service=service.name, version=service.version, production=service.production)
    for mistake in error.mistakes:
        variable, colon, said = mistake.partition(":")
        # Scrubbed apart from the name: the text after the name of a secret is taken for the secret itself.
        structlog.get_logger("settings").error(Scrubbed(f"{variable}{colon}{scrub(said)}"))
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
