"""The server, whose stop loses nobody: neither who has been let in, nor who is just coming in."""

import asyncio
import ctypes
import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.server import ServerState

logger = logging.getLogger(__name__)
HANDSHAKE = 0.1
"""Seconds for which those are waited for who have begun to connect: more than the way to another machine and back."""
SO_ATTACH_FILTER = 26
"""Linux's name for a filter of packets on a socket, which Python does not have: socket(7), linux/filter.h."""
NO_NEWCOMERS = (
    (0x30, 0, 0, 13),  # load the byte with the flags of TCP
    (0x45, 0, 1, 0x02),  # is it SYN, with which a connection begins?
    (0x06, 0, 0, 0),  # then keep nothing of the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # else all of it
)
"""The filter: code, jumps and operand of each instruction."""


class StoppableState(ServerState):
    """What all connections of a server share, and whether it stops."""

    stopping = False


class Server(uvicorn.Server):
    """A server that takes in who waits before it stops listening: the system would reset their connections."""

    server_state: StoppableState

    def __init__(self, config: uvicorn.Config) -> None:
        """Begin with no connections."""
        super().__init__(config)
        self.server_state = StoppableState()

    def run_alone(self) -> None:
        """Serve as the only process, and exit with 3 where something failed to open."""
        with suppress(KeyboardInterrupt):
            self.run()
        if not self.started:
            sys.exit(STARTUP_FAILURE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, and let all finish who were let in."""
        listeners = list(self._listeners())
        if sockets is None:  # else other processes listen too, and go on where only this one stops
            for listener in listeners:
                _let_nobody_begin(listener)
            await asyncio.sleep(HANDSHAKE)
        self.server_state.stopping = True
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

    def _listeners(self) -> Iterator[socket.socket]:
        """What is listened on, to be used when the server has closed it."""
        for server in self.servers:
            for listening in server.sockets:
                with suppress(OSError):  # no descriptors are left: then it stops as uvicorn does
                    yield socket.socket(fileno=os.dup(listening.fileno()))


def _let_nobody_begin(listener: socket.socket) -> None:
    """Have the system ignore whoever begins to connect, as if the network had lost it.

    They try again, and find nobody listening. Without it somebody gets in between the last accept and the close: in one
    of ten stops under heavy load.
    """
    if sys.platform == "linux":
        program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in NO_NEWCOMERS))
        given = struct.pack("HP", len(NO_NEWCOMERS), ctypes.addressof(program))
        with suppress(OSError):  # a sandbox without socket filters
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, given)


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Those who wait; nobody more does from then on."""
    listener.setblocking(False)
    with listener:
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                logger.warning("those who wait cannot be let in: %s", error)
                return
            connection.setblocking(False)
            yield connection
