"""A restore of the records is a record in them, and the chain verifies after it."""

import json
import shutil
from pathlib import Path

import pytest

from app.extensions.audit.__main__ import Tampered, main, restored, verify
from app.extensions.audit.chain import Chain

KEY = b"the-key-of-these-tests"


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    """Three records."""
    made = Chain(tmp_path / "audit.jsonl", KEY)
    made.append([{"subject": str(number)} for number in range(3)])
    return made


@pytest.mark.parametrize("with_head", [True, False], ids=["with its head", "alone"])
def test_an_older_trail_goes_on_with_a_record_of_the_restore(chain: Chain, with_head: bool) -> None:
    backup = chain.path.with_name("backup")
    shutil.copy(chain.path, backup)
    shutil.copy(chain.beside, backup.with_suffix(".head"))
    lost = chain.append([{"subject": "later"}])
    aside = chain.path.rename(f"{chain.path}.before-20260301120000")
    backup.rename(chain.path)
    if with_head:
        backup.with_suffix(".head").rename(chain.beside)
    end = restored(Chain(chain.path, KEY), KEY)
    record = json.loads(chain.path.read_text().splitlines()[-1])
    assert (record["kind"], record["name"], record["subject"]) == ("security", "audit_trail_restored", str(aside))
    assert with_head or record["before"] == str(lost)
    assert verify([chain.path], KEY) == end
    assert Chain(chain.path, KEY).append([{"subject": "next"}]).number == end.number + 1 == 5
    assert verify([chain.path], KEY).number == 5
    with pytest.raises(Tampered, match="does not have 4:"):
        verify([chain.path], KEY, known=[lost])  # a restore does not hide that a record is gone


def test_a_trail_whose_first_records_are_archived_goes_on(chain: Chain) -> None:
    archive = chain.path.rename(chain.path.with_name("archive"))
    chain.append([{"subject": "new"}])
    end = restored(chain, KEY)
    assert verify([archive, chain.path], KEY) == end
    assert end.number == 5


def test_without_a_restored_file_the_chain_starts_again(chain: Chain) -> None:
    chain.path.unlink()
    assert restored(chain, KEY).number == 1
    assert verify([chain.path], KEY).number == 1


def test_what_was_changed_is_not_made_right_by_calling_it_restored(chain: Chain) -> None:
    chain.path.write_bytes(chain.path.read_bytes().replace(b'"1"', b'"7"'))
    before = chain.beside.read_bytes()
    with pytest.raises(Tampered, match=":2: this is no record"):
        restored(chain, KEY)
    assert chain.beside.read_bytes() == before


def test_the_command_records_it(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUDIT__PATH", str(chain.path))
    monkeypatch.setenv("AUDIT__KEY", KEY.decode())
    monkeypatch.setattr("sys.argv", ["audit", "restored"])
    assert main() == 0
    assert capsys.readouterr().out.endswith(f"the restore is recorded; the end is\n{verify([chain.path], KEY)}\n")
