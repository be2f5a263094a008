"""The PostgreSQL of development and tests: it says why it does not start, and leaves nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dev.servers.postgres import serve


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is too long for a socket: not pytest's, which shuts out the server's user."""
    with TemporaryDirectory(prefix="server-") as place:
        Path(place).chmod(0o711)
        yield Path(place, "a" * 100)


def test_a_server_that_does_not_start_is_one_line(folder: Path) -> None:
    with serve(folder):
        pass
    with (folder / "postgresql.conf").open("a") as file:
        file.write("nonsense = on\n")
    with pytest.raises(SystemExit) as stopped, serve(folder):
        pass
    assert str(stopped.value).startswith("PostgreSQL did not start: ")
    assert str(stopped.value).endswith(f" ({folder / 'log'})")
    assert "\n" not in str(stopped.value)


def test_a_server_that_stops_takes_its_socket_away_whatever_becomes_of_the_runtime_folder(folder: Path) -> None:
    with serve(folder) as url:
        socket = Path(url.partition("host=")[2])
        assert list(socket.glob(".s.PGSQL.*"))
        Path(os.environ["XDG_RUNTIME_DIR"]).chmod(0o700)  # as whoever imports platformdirs does
    assert not list(socket.glob(".s.PGSQL.*"))
