"""One file: whole batches from several writers, set aside when it is full or of yesterday."""

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from app.extensions.log_files.file import LogFile
from tests.extensions.log_files.conftest import contents

Make = Callable[..., LogFile]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Opens the file once more, as another process would."""
    return lambda size=10_000, backlog=1000: LogFile(tmp_path / "app.log", size=size, backlog=backlog)


def lines(tmp_path: Path) -> list[bytes]:
    """All that has been written."""
    return contents(tmp_path, "app")


def test_lines_are_written_in_one_piece(make: Make, tmp_path: Path) -> None:
    file = make()
    file.append(b"one")
    file.append(b"two")
    assert not (tmp_path / "app.log").exists()
    assert file.flush() is False
    assert (tmp_path / "app.log").read_bytes() == b"one\ntwo\n"
    assert (tmp_path / "app.log").stat().st_mode & 0o777 == 0o640
    assert file.flush() is False
    assert lines(tmp_path) == [b"one", b"two"]


def test_the_batch_that_fills_a_file_is_its_last(make: Make, tmp_path: Path) -> None:
    file = make(size=10)
    written = []
    for number in range(3):
        file.append(b"line %d" % number)
        written.append(file.flush())
    assert written == [False, True, False]
    assert [file.read_bytes() for file in tmp_path.glob("app-*.log")] == [b"line 0\nline 1\n"]
    assert lines(tmp_path) == [b"line 0", b"line 1", b"line 2"]


def test_a_file_of_yesterday_is_set_aside(make: Make, tmp_path: Path) -> None:
    file = make()
    file.append(b"old")
    file.flush()
    os.utime(tmp_path / "app.log", (0, 0))
    file.append(b"new")
    assert file.flush() is True
    assert (tmp_path / "app.log").read_bytes() == b"new\n"
    assert lines(tmp_path) == [b"old", b"new"]


def test_no_line_of_several_writers_is_lost(make: Make, tmp_path: Path) -> None:
    def write(writer: int) -> None:
        file = make(size=2000)
        for number in range(300):
            file.append(b"%d-%d" % (writer, number))
            if number % 3 == 2:
                file.flush()

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = lines(tmp_path)
    assert sorted(found) == sorted(b"%d-%d" % (writer, number) for writer in range(4) for number in range(300))
    assert len(list(tmp_path.glob("app-*.log"))) > 2


def test_a_file_that_somebody_removes_is_made_again(make: Make, tmp_path: Path) -> None:
    file = make()
    file.append(b"one")
    file.flush()
    (tmp_path / "app.log").unlink()
    file.append(b"two")
    file.flush()
    assert lines(tmp_path) == [b"two"]


def test_a_line_that_a_killed_process_left_half_costs_no_other_one(make: Make, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_bytes(b"whole\nhal")
    file = make()
    file.append(b"mine")
    file.flush()
    assert lines(tmp_path) == [b"whole", b"hal", b"mine"]


def test_a_batch_that_does_not_fit_leaves_no_half_line_and_is_written_later(make: Make, tmp_path: Path) -> None:
    file = make()
    file.append(b"before")
    file.flush()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))  # as on a disk on which 13 more bytes find room
    try:
        file.append(b"x" * 30)
        with pytest.raises(OSError, match="File too large"):
            file.flush()
        assert (tmp_path / "app.log").read_bytes() == b"before\n"
        file.append(b"later")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    file.flush()
    assert lines(tmp_path) == [b"before", b"x" * 30, b"later"]


def test_what_has_no_place_in_the_backlog_is_counted(make: Make, tmp_path: Path) -> None:
    (tmp_path / "app.log").symlink_to("/dev/full")
    file = make(backlog=3)
    for number in range(5):
        file.append(b"line %d" % number)
        with pytest.raises(OSError, match="No space left"):
            file.flush()
    assert file.lost == 2
    (tmp_path / "app.log").unlink()
    file.flush()
    assert lines(tmp_path) == [b"line 0", b"line 1", b"line 2"]
