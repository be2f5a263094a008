"""`python -m app`: check the settings, then serve or run another process. A wrong setting is one line, no traceback."""

import argparse
import asyncio
import sys

from app.core.errors import ConfigurationInvalid
from app.core.observability import logging
from app.core.observability.logging import LogSettings
from app.core.server import serve
from app.core.server.serve import ServerSettings
from app.core.settings import ServiceSettings, Settings
from app.main import default_components, load_settings, refuse, run


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


if __name__ == "__main__":
    sys.exit(main())
