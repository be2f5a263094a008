"""The HTTP server: uvicorn with our settings."""

import os
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import uvicorn
from pydantic import Field
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from app.core.errors import ConfigurationInvalid
from app.core.server.protocol import BoundedProtocol
from app.core.server.websockets import BoundedWebSocket
from app.core.settings import Group, Networks

APP = "app.asgi:app"


class ServerSettings(Group):
    """The settings of the server: where it listens, and which proxies it trusts."""

    group: ClassVar[str] = "server"
    host: str = Field("127.0.0.1", description="The address to listen on; 0.0.0.0 in a container.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    workers: int = Field(1, ge=1, description="Processes; containers use replicas instead.")
    trusted_proxies: Networks = Field(
        ("127.0.0.1",), description="Addresses and networks of proxies; only their X-Forwarded-For is trusted."
    )
    keep_alive: int = Field(5, ge=0, description="Seconds until an idle connection is closed.")
    shared: Path | None = Field(None, description="The folder for data that processes share.")
    shutdown_timeout: int = Field(30, ge=0, description="Seconds for requests to finish on a stop.")


def run(settings: ServerSettings, *, reload: bool) -> None:
    """Serve until told to stop. Exit with 3 if the service cannot start.

    Raises:
        ConfigurationInvalid: the address is in use, or not one of this machine.
    """
    _try_to_bind(settings)
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "reload": reload,
        "reload_dirs": ["app"] if reload else None,
        "http": BoundedProtocol,
        "ws": BoundedWebSocket,
        "ws_per_message_deflate": False,  # 64 KB for each connection
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": True,
        "forwarded_allow_ips": list(settings.trusted_proxies),
        "timeout_keep_alive": settings.keep_alive,
        "timeout_graceful_shutdown": settings.shutdown_timeout,
        "timeout_worker_healthcheck": 30,  # 5 by default: a worker that starts on a busy machine would be killed
    }
    if reload or settings.workers == 1:
        uvicorn.run(APP, **options)
        return
    with _folder_for_workers(settings) as shared:
        os.environ["SERVER__SHARED"] = shared  # the workers are processes of their own, and read settings anew
        config = uvicorn.Config(APP, **options)
        workers = Workers(config, sockets=[config.bind_socket()])
        workers.run()
    if any(worker.exitcode == STARTUP_FAILURE for worker in workers.processes):
        sys.exit(STARTUP_FAILURE)  # uvicorn.run() would exit with 0, and nothing would start the service again


class Workers(Multiprocess):
    """Several processes behind one socket. A worker that ends is noticed at once, not when its health check is over."""

    def keep_subprocess_alive(self) -> None:
        """Close the parent's copy of each worker's end of the pipe, so that the pipe closes with the worker."""
        for worker in self.processes:
            worker.child_conn.close()
        super().keep_subprocess_alive()


def _folder_for_workers(settings: ServerSettings) -> TemporaryDirectory[str]:
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
