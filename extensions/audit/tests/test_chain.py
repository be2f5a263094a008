"""The chain: added to by several at once, cut short by crashes, put away, and always whole again."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from app.extensions.audit.__main__ import Tampered, verify
from app.extensions.audit.chain import Chain

KEY = b"key"
WRITER = """
import sys
from pathlib import Path
from app.extensions.audit.chain import Chain
chain = Chain(Path(sys.argv[1]), b"key")
for number in range(int(sys.argv[2])):
    chain.append([{"writer": sys.argv[3], "filling": "x" * 5000}] * 3)
print("done")
"""


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """A chain."""
    return Chain(tmp_path / "audit.jsonl", KEY)


@contextmanager
def end_not_noted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk takes the records, and not their end beside them."""

    def fail(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("app.extensions.audit.chain.os.pwrite", fail)
        yield


def test_each_record_is_tied_to_the_one_before(chain: Chain) -> None:
    ends = [chain.append([{"a": number}] * number) for number in range(4)]
    assert [end.number for end in ends] == [0, 1, 3, 6]
    assert verify([chain.path], KEY, known=ends[1:]) == ends[-1]


def test_several_that_add_at_once_make_one_chain(chain: Chain) -> None:
    others = [Chain(chain.path, KEY) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda other: [other.append([{"a": 1}, {"b": 2}]) for _ in range(40)], others))
    assert verify([chain.path], KEY).number == 6 * 40 * 2


def test_processes_that_are_killed_while_they_write_leave_a_whole_chain(chain: Chain) -> None:
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, str(chain.path), "1000000"]
        writers = [subprocess.Popen([*command, str(number)]) for number in range(2)]  # noqa: S603
        before = chain.path.stat().st_size if chain.path.exists() else 0
        while not chain.path.exists() or chain.path.stat().st_size < before + 500_000:
            assert all(writer.poll() is None for writer in writers)
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        end = chain.append([{"after": "the kill"}])
        assert verify([chain.path], KEY) == end


@pytest.mark.parametrize("cut", [1, 40, 70_000])
def test_an_unfinished_record_is_cut_off(chain: Chain, caplog: pytest.LogCaptureFixture, cut: int) -> None:
    first = chain.append([{"a": "x" * 200_000}])
    noted = chain.beside.read_bytes()
    chain.append([{"b": "y" * 200_000}])
    os.truncate(chain.path, chain.path.stat().st_size - cut)
    chain.beside.write_bytes(noted)  # as of a process that was killed in between
    assert verify([chain.path], KEY) == first
    end = Chain(chain.path, KEY).append([{"c": 3}])
    assert "cut an unfinished record off" in caplog.text
    assert end.number == 2
    assert verify([chain.path], KEY, known=[first]) == end


def test_a_process_that_is_killed_before_it_notes_the_end_leaves_a_whole_chain(chain: Chain) -> None:
    chain.append([{"a": 1}])
    noted = chain.beside.read_bytes()
    second = chain.append([{"b": 2}])
    chain.beside.write_bytes(noted)
    assert Chain(chain.path, KEY).append([{"c": 3}]).number == 3
    assert verify([chain.path], KEY, known=[second]).number == 3


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("another", [False, True])
def test_records_whose_end_cannot_be_noted_are_not_written(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, before: int, another: bool
) -> None:
    chain.append([{"before": 0}] * before)
    with end_not_noted(monkeypatch):
        for number in range(3):
            with pytest.raises(OSError, match="No space left"):
                chain.append([{"during": number}])
    after = (Chain(chain.path, KEY) if another else chain).append([{"after": 4}])
    assert verify([chain.path], KEY, known=[after]) == after
    assert after.number == before + 1
    assert "verify it" not in caplog.text


@pytest.mark.parametrize("kept", [0, 10, 40])
def test_an_end_that_was_noted_in_part_is_found_from_the_records(
    chain: Chain, caplog: pytest.LogCaptureFixture, kept: int
) -> None:
    chain.append([{"a": 1}])
    os.truncate(chain.beside, kept)
    end = Chain(chain.path, KEY).append([{"b": 2}])
    assert verify([chain.path], KEY) == end
    assert "verify it" not in caplog.text


def test_an_end_without_a_seal_gets_one_and_is_told(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    chain.append([{"a": 1}])
    sealed = chain.beside.read_bytes()
    chain.beside.write_bytes(sealed.splitlines(keepends=True)[0])  # as up to 0.4.0
    Chain(chain.path, KEY).append([])
    assert chain.beside.read_bytes() == sealed
    assert "has no seal" in caplog.text


def test_a_trail_without_its_end_goes_on_and_says_so(chain: Chain, caplog: pytest.LogCaptureFixture) -> None:
    chain.append([{"a": 1}])
    chain.beside.unlink()
    assert Chain(chain.path, KEY).append([{"b": 2}]).number == 2
    assert "goes on after record 1, and had no end beside it" in caplog.text


def test_records_that_were_put_away_are_gone_on_from(chain: Chain) -> None:
    put_away = chain.path.with_name("audit-1.jsonl")
    first = chain.append([{"a": 1}])
    chain.path.rename(put_away)
    second = chain.append([{"b": 2}])
    assert second.number == 2
    assert verify([put_away, chain.path], KEY) == second
    assert verify([chain.path], KEY, after=first) == second
    assert verify([put_away], KEY, known=[first]) == first
    with pytest.raises(Tampered, match="give the files before this one, or --after"):
        verify([chain.path], KEY)


def test_records_that_are_missing_at_the_end_are_noticed_when_it_goes_on(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.append([{"a": 1}])
    size = chain.path.stat().st_size
    chain.append([{"b": 2}])
    os.truncate(chain.path, size)
    Chain(chain.path, KEY).append([{"c": 3}])
    assert "does not end with record 2, which was its last: verify it" in caplog.text
    with pytest.raises(Tampered, match="record 3 does not follow record 1"):
        verify([chain.path], KEY)


def test_a_last_record_that_was_changed_is_noticed_when_it_goes_on(
    chain: Chain, caplog: pytest.LogCaptureFixture
) -> None:
    chain.append([{"a": 1}])
    chain.path.write_bytes(chain.path.read_bytes().replace(b'"a":1', b'"a":2'))
    Chain(chain.path, KEY).append([{"b": 2}])
    assert "is not what was sealed: verify it" in caplog.text
