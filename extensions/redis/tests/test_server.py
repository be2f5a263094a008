"""The server of `make dev` and `make run`: shared by all who use it at a time; its data outlive it."""

import socket
from pathlib import Path

from dev.servers import redis


def port_of(url: str) -> int:
    """The port of redis://127.0.0.1:1234/0."""
    return int(url.rpartition(":")[2].partition("/")[0])


def tell(url: str, command: bytes) -> bytes:
    """Send a command to the server, and return its response."""
    with socket.create_connection(("127.0.0.1", port_of(url)), timeout=5) as connection:
        connection.sendall(command)
        return connection.recv(1000)


def test_a_server_is_shared_and_stops_with_its_last_user(tmp_path: Path) -> None:
    first, second = redis.serve(tmp_path), redis.serve(tmp_path)
    url = first.__enter__()
    assert second.__enter__() == url
    first.__exit__(None, None, None)
    assert redis.answers(port_of(url))
    second.__exit__(None, None, None)
    assert not redis.answers(port_of(url))
    with redis.serve(tmp_path) as again:
        assert redis.answers(port_of(again))
    assert not redis.answers(port_of(again))


def test_what_was_stored_is_there_at_the_next_start(tmp_path: Path) -> None:
    with redis.serve(tmp_path) as url:
        assert tell(url, b"SET kept 1\r\n") == b"+OK\r\n"
    with redis.serve(tmp_path) as url:
        assert tell(url, b"GET kept\r\n") == b"$1\r\n1\r\n"
