"""Verification finds every change, and nothing where there was none."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from app.extensions.audit import __main__ as command
from app.extensions.audit.__main__ import Tampered, verify
from app.extensions.audit.chain import START, Chain, Head, opened, seal

ROOT = Path(__file__).parents[3]
KEY = "the-key-of-these-tests"
Change = Callable[[list[bytes]], list[bytes]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with ten records."""
    chain = Chain(tmp_path / "audit.jsonl", KEY.encode())
    for number in range(10):
        chain.append([{"subject": str(number), "after": {"price": 1}}])
    return chain.path


TAMPERING: dict[str, tuple[Change, str]] = {
    "changed": (lambda lines: [*lines[:4], lines[4].replace(b"price", b"prize"), *lines[5:]], ":5: this is no record"),
    "sealed anew without the key": (
        lambda lines: [*lines[:4], forged(lines[4]), *lines[5:]],
        ":5: this is no record that was written",
    ),
    "removed": (lambda lines: [*lines[:4], *lines[5:]], ":5: record 6 does not follow record 4"),
    "the first removed": (lambda lines: lines[1:], ":1: record 2 does not follow record 0"),
    "the last removed": (lambda lines: lines[:-1], "the chain ends with record 9 and does not have 10:"),
    "all removed": (lambda _: [], "the chain ends with record 0 and does not have 10:"),
    "moved": (lambda lines: [*lines[:4], lines[5], lines[4], *lines[6:]], ":5: record 6 does not follow record 4"),
    "repeated": (lambda lines: [*lines, lines[-1]], ":11: record 10 does not follow record 10"),
    "added": (lambda lines: [*lines, b"{}\n"], ":11: this is no record"),
    "an empty line": (lambda lines: [*lines[:4], b"\n", *lines[4:]], ":5: this is no record"),
    "a list": (lambda lines: [*lines, b'["a,"hash":""]\n'], ":11: this is no record"),
}


def forged(line: bytes) -> bytes:
    """A record as an attacker with another key writes it."""
    body, mark, _ = line.replace(b'"price":1', b'"price":2').rpartition(b',"hash":"')
    return body + mark + seal(body, b"another-key").encode() + b'"}\n'


@pytest.mark.parametrize("name", TAMPERING)
def test_tampering_is_found_and_said_where(path: Path, name: str) -> None:
    change, message = TAMPERING[name]
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(Tampered, match=message):
        verify([path], KEY.encode())


@pytest.mark.parametrize("cut", [3, 10], ids=["the last three", "all"])
@pytest.mark.parametrize("hidden", ["deleted", "emptied", "without a seal", "of another record", "of another key"])
def test_a_cut_end_is_found_without_its_head_too(path: Path, cut: int, hidden: str) -> None:
    chain, whole = Chain(path, KEY.encode()), path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:-cut]))
    end = START if cut == 10 else opened(path.read_bytes().splitlines(keepends=True)[-1], KEY.encode())[0]
    line = f"{end.number:020}:{end.seal}\n".encode()
    mark = chain.beside.read_bytes().splitlines(keepends=True)[1]
    chain.beside.write_bytes(
        {
            "without a seal": line,
            "of another record": line + mark,
            "of another key": line + seal(b"head " + line, b"another-key").encode() + b"\n",
        }.get(hidden, b"")
    )
    if hidden == "deleted":
        chain.beside.unlink()
    with pytest.raises(Tampered, match=r"no sealed \.head and no --known says that this is its end"):
        verify([path], KEY.encode())


@pytest.mark.parametrize("position", [*range(0, 1900, 37), -1])
def test_no_byte_can_be_changed(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(Tampered):
        verify([path], KEY.encode())


def test_a_chain_without_a_key_shows_what_was_changed_by_hand_and_not_what_was_made_anew(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "audit.jsonl", b"")
    ends = [chain.append([{"a": number}]) for number in range(3)]
    made_anew = Chain(tmp_path / "other.jsonl", b"")
    for number in range(3):
        made_anew.append([{"a": number + 1}])
    made_anew.path.rename(chain.path)
    made_anew.beside.rename(chain.beside)
    assert verify([chain.path], b"").number == 3
    with pytest.raises(Tampered, match="does not have 2:"):  # but for an end that was noted elsewhere
        verify([chain.path], b"", known=[ends[1]])


def test_another_key_opens_nothing(path: Path) -> None:
    with pytest.raises(Tampered, match=":1: this is no record"):
        verify([path], b"another-key")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, **settings: str) -> int:
    """The command."""
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["audit", "verify", *arguments])
    return command.main()


def test_the_command_says_so_by_its_exit_status(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {"AUDIT__PATH": str(path), "AUDIT__KEY": KEY}
    end = verify([path], KEY.encode())
    assert run(monkeypatch, **settings) == 0
    assert capsys.readouterr().out == f"10 records are as they were written; the end is\n{end}\n"
    assert run(monkeypatch, str(path), "--known", str(end), **settings) == 0
    assert capsys.readouterr().out.endswith(f"they have the known ends {end}\n")
    assert run(monkeypatch, "--known", f"3:{'0' * 64}", **settings) == 1
    assert run(monkeypatch, str(path.with_name("nothing")), **settings) == 2
    path.write_bytes(path.read_bytes().replace(b"price", b"prize", 1))
    capsys.readouterr()
    assert run(monkeypatch, **settings) == 1
    assert capsys.readouterr().err.startswith(f"{path}:1: this is no record that was written")
    assert run(monkeypatch, AUDIT__KEY="short") == 2


def test_make_has_the_command() -> None:
    run = ["make", "--no-print-directory", "--dry-run", "verify-audit"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603  # the developer's make
    assert done.stdout.rstrip().endswith("python -m app.extensions.audit verify")


def test_an_end_is_read_as_it_is_printed() -> None:
    end = Head(17, "a" * 64)
    assert command.head(str(end)) == end
    with pytest.raises(Exception, match="does not look like"):
        command.head("17")
