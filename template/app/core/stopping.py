"""The server, whose stop loses nobody: neither who has been let in, nor who comes in that moment."""

import asyncio
import ctypes
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import uvicorn
from uvicorn.config import STARTUP_FAILURE

SO_ATTACH_FILTER = 26
"""Linux's name for a filter of packets on a socket, which Python does not have: socket(7), linux/filter.h."""
BPF_RETURN = 6
"""The one instruction of the filter: keep so many bytes of a packet."""


class Server(uvicorn.Server):
    """A server that takes in who waits before it stops listening: the system would reset their connections."""

    def run_alone(self) -> None:
        """Serve as the only process, and exit with 3 where something failed to open."""
        with suppress(KeyboardInterrupt):
            self.run()
        if not self.started:
            sys.exit(STARTUP_FAILURE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and let all finish who were let in."""
        listeners = [socket.socket(fileno=os.dup(one.fileno())) for server in self.servers for one in server.sockets]
        if sockets is None:  # else other processes listen too, and go on where only this one stops
            for listener in listeners:
                _let_nobody_in(listener)
        for server in self.servers:
            server.close()
        for opened in sockets or []:
            opened.close()
        waiting = [connection for listener in listeners for connection in _accepted(listener)]
        state = {"config": self.config, "server_state": self.server_state, "app_state": self.lifespan.state}
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(partial(self.config.http_protocol_class, **state), connection)
        await super().shutdown()


def _let_nobody_in(listener: socket.socket) -> None:
    """Have the system ignore whoever comes, as if the network had lost it: they try again, and find nobody listening.

    Between the last accept and the close, somebody could get in otherwise: once in ten stops under heavy load.
    """
    if sys.platform == "linux":
        nothing = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))
        with suppress(OSError):  # a sandbox without socket filters
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", 1, ctypes.addressof(nothing)))


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Those who wait; nobody more does from then on."""
    listener.setblocking(False)
    with listener, suppress(OSError):  # which says that nobody waits
        while True:
            connection, _ = listener.accept()
            connection.setblocking(False)
            yield connection
