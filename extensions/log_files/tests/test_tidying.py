"""Rotated files: compressed, kept for their days, and left alone where they are not ours."""

import errno
import gzip
import logging
import os
import shutil
import time
from pathlib import Path
from typing import IO

import pytest

from app.extensions.log_files.tidying import DAY, Tidying

ASIDE = "app-20260131T120000-000001.log"


@pytest.fixture
def mine(tmp_path: Path) -> Tidying:
    """The folder with 30 days for app.log and one for errors.log."""
    return Tidying(tmp_path, {"app": 30, "errors": 1})


def put(path: Path, content: bytes = b"line\n", *, days: float = 0) -> Path:
    """A file that was written so long ago."""
    path.write_bytes(content)
    path.chmod(0o640)
    then = time.time() - days * DAY
    os.utime(path, (then, then))
    return path


def names(directory: Path) -> list[str]:
    """Return the names of the files in a directory."""
    return sorted(path.name for path in directory.iterdir())


def test_what_was_set_aside_is_compressed_with_its_time_and_mode(mine: Tidying, tmp_path: Path) -> None:
    path = put(tmp_path / ASIDE, b"line\n" * 1000, days=3)
    before = path.stat()
    put(tmp_path / "app.log")
    mine.tidy()
    assert names(tmp_path) == [f"{ASIDE}.gz", "app.log"]
    packed = tmp_path / f"{ASIDE}.gz"
    assert gzip.decompress(packed.read_bytes()) == b"line\n" * 1000
    assert packed.stat().st_size < 200
    assert (packed.stat().st_mtime_ns, packed.stat().st_mode) == (before.st_mtime_ns, before.st_mode)


def test_each_stream_is_kept_for_its_days(mine: Tidying, tmp_path: Path) -> None:
    put(tmp_path / f"{ASIDE}.gz", days=29.9)
    put(tmp_path / ASIDE.replace("1.log", "2.log.gz"), days=30.1)
    put(tmp_path / ASIDE.replace("app", "errors"), days=1.1)
    mine.tidy()
    assert names(tmp_path) == [f"{ASIDE}.gz"]


@pytest.mark.parametrize(
    "name", ["app-notes.log", "other-20260131T120000-000001.log", "app.log", f"my-{ASIDE}", "app.txt"]
)
def test_what_is_not_ours_is_left_alone(mine: Tidying, tmp_path: Path, name: str) -> None:
    put(tmp_path / name, days=1000)
    mine.tidy()
    assert names(tmp_path) == [name]


def test_what_a_crash_left_half_done_is_done_again(mine: Tidying, tmp_path: Path) -> None:
    put(tmp_path / ASIDE)
    put(tmp_path / f"{ASIDE}.gz", b"of a run that was killed before it removed the other")
    put(tmp_path / f"{ASIDE}.gz.part", b"hal")
    mine.tidy()
    assert names(tmp_path) == [f"{ASIDE}.gz"]
    assert gzip.decompress((tmp_path / f"{ASIDE}.gz").read_bytes()) == b"line\n"


def test_a_full_disk_leaves_the_file_as_it_is(
    mine: Tidying, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / ASIDE)

    def fill(_: IO[bytes], __: IO[bytes]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfileobj", fill)
    with caplog.at_level(logging.WARNING):
        mine.start()
        mine.close(timeout=40)
    assert names(tmp_path) == [ASIDE]
    monkeypatch.undo()
    Tidying(tmp_path, {"app": 30}).tidy()
    assert names(tmp_path) == [f"{ASIDE}.gz"]
