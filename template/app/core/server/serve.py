"""The HTTP server: uvicorn with our settings."""

import os
import signal
import socket
import sys
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import uvicorn
from pydantic import Field
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess, multiprocess

from app.core.errors import ConfigurationInvalid
from app.core.server.protocol import PromptProtocol
from app.core.server.stopping import Server
from app.core.settings import CommaSeparated, Group


class ServerSettings(Group):
    """Where the service listens, and whose word on the client's address it takes."""

    group: ClassVar[str] = "server"
    host: str = Field("127.0.0.1", description="The address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    workers: int = Field(1, ge=1, description="The number of processes; containers use replicas instead.")
    trusted_proxies: CommaSeparated = Field(
        ("127.0.0.1",), description="Addresses and networks of proxies whose X-Forwarded-For is trusted."
    )
    keep_alive: int = Field(5, ge=0, description="Seconds until an idle connection is closed.")
    shared: Path | None = Field(None, description="The folder for data that processes share.")
    shutdown_timeout: int = Field(30, ge=0, description="Seconds that requests have to finish on a stop.")


def run(settings: ServerSettings, *, reload: bool) -> None:
    """Serve until told to stop.

    Raises:
        ConfigurationInvalid: the address is in use, or none of this machine.
    """
    _try_to_bind(settings)
    options: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "reload": reload,
        "reload_dirs": ["app"] if reload else None,
        "http": PromptProtocol,
        "ws": "none",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": True,
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "timeout_keep_alive": settings.keep_alive,
        "timeout_graceful_shutdown": settings.shutdown_timeout,
        # A worker that imports the service on a busy machine is not hung: after 5 seconds it was killed, for ever.
        "timeout_worker_healthcheck": 30,
    }
    if reload:
        uvicorn.run("app.main:create_app", **options)
    elif settings.workers == 1:
        Server(uvicorn.Config("app.main:create_app", **options)).run_alone()
    else:
        with _made_for_workers(settings) as shared:
            os.environ["SERVER__SHARED"] = shared  # the workers are processes of their own, and read settings anew
            config = uvicorn.Config("app.main:create_app", **options)
            workers = Workers(config, sockets=[config.bind_socket()])
            workers.run()
        workers.end()


class Worker(multiprocess.Process):
    """One of several processes."""

    @cached_property
    def server(self) -> uvicorn.Server:
        """Ours, in place of uvicorn's."""
        return Server(self.config)


multiprocess.Process = Worker  # type: ignore[misc]  # the supervisor names its class in four places, and takes none


class Workers(Multiprocess):
    """Several processes behind one socket, which end with the status that one alone has; uvicorn's end with 0."""

    terminated = False

    def terminate_all(self) -> None:
        """Leave the socket to the workers: the last of them that stops listening closes it."""
        for opened in self.sockets:
            opened.close()
        super().terminate_all()

    def handle_term(self) -> None:
        """Stop because of SIGTERM."""
        self.terminated = True
        super().handle_term()

    def keep_subprocess_alive(self) -> None:
        """See at once that a worker has ended, not when it has missed a health check: its pipe closes with it."""
        for worker in self.processes:
            worker.child_conn.close()  # ours; the worker has its own
        super().keep_subprocess_alive()

    def end(self) -> None:
        """Exit with 3 where a worker could not start, and by the signal that stopped them."""
        if any(worker.exitcode == STARTUP_FAILURE for worker in self.processes):
            sys.exit(STARTUP_FAILURE)
        if self.terminated:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)


def _made_for_workers(settings: ServerSettings) -> TemporaryDirectory[str]:
    try:
        return TemporaryDirectory(prefix="workers-", dir=settings.shared, ignore_cleanup_errors=True)
    except OSError as error:
        raise ConfigurationInvalid(
            f"SERVER__SHARED: cannot make a folder in {error.filename} ({error.strerror}): name one that can be written"
        ) from error


def _try_to_bind(settings: ServerSettings) -> None:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationInvalid(
                f"SERVER__PORT: cannot listen on {settings.host}:{settings.port} ({error.strerror}): "
                "stop what uses it, or set another SERVER__HOST or SERVER__PORT"
            ) from error
