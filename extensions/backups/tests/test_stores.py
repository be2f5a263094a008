"""Copies in stores: sent to both, taken back from either, and what happens when one is not there."""

import shutil
import subprocess
import sys
from pathlib import Path

import obstore
import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import ServiceSettings, load
from app.main import SETTINGS
from ops.backups.sealing import Key
from ops.backups.settings import BackupsSettings
from ops.backups.stores import stores
from tests.ops.conftest import Ops, kept, notes
from tests.ops.test_retention import aged

Store = dict[str, str]


def settings(store: Store) -> BackupsSettings:
    """The settings as the tool reads them."""
    return BackupsSettings.model_validate({name.lower(): value for name, value in store.items()})


def test_a_machine_that_is_lost_is_restored_from_either_store(
    ops: Ops, store: Store, filled: str, tmp_path: Path
) -> None:
    sent = ops("backup", **store)
    assert (sent.status, sent.out.count("sent ")) == (0, 2), sent
    assert "here, store, replica" in ops("list", **store).out
    shutil.rmtree(tmp_path / "backups")
    first, second = stores(settings(store))
    assert ops("restore", "--yes", **store).status == 0
    first.delete(first.ids()[0])
    assert (first.ids(), len(second.ids())) == ([], 1)
    assert ops("verify", **store).status == 0
    assert len(notes(filled)) == 3


def test_what_was_not_sent_whole_is_no_backup(ops: Ops, store: Store, tmp_path: Path) -> None:
    assert ops("backup", **store).status == 0
    first, second = stores(settings(store))
    (backup_id,) = first.ids()
    manifest = first.manifest(backup_id)
    obstore.delete(first.store, f"{store['PREFIX']}{backup_id}/manifest.json")
    assert first.ids() == []
    obstore.delete(second.store, f"{store['PREFIX']}{backup_id}/database.gz.age")
    assert not second.good(manifest)
    shutil.rmtree(tmp_path / "backups")
    lost = ops("restore", "--yes", **store)
    assert (lost.status, "database.gz.age is not in two" in lost.error) == (3, True)


@pytest.mark.parametrize(
    "wrong", [{"ENDPOINT": "http://127.0.0.1:1", "TIMEOUT": "1"}, {"BUCKET": "nowhere"}], ids=["unreachable", "unknown"]
)
def test_a_store_that_fails_is_one_line_and_the_other_one_has_its_copy(
    ops: Ops, store: Store, tmp_path: Path, wrong: Store
) -> None:
    failed = ops("backup", **{**store, **wrong})
    assert (failed.status, failed.error.count("\n")) == (6, 1), failed
    assert (failed.out.count("made "), failed.out.count("sent ")) == (1, 1)
    assert len(kept(tmp_path)) == 1


def test_wrong_credentials_are_said(ops: Ops, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moto.settings.INITIAL_NO_AUTH_ACTION_COUNT", 0)  # from now on it looks at keys
    refused = ops("backup", **store)
    assert (refused.status, refused.error.count("\n")) == (6, 2), "a line for each store"
    assert "not-ours" not in refused.error
    assert len(kept(tmp_path)) == 1


def test_old_copies_go_too(ops: Ops, store: Store, tmp_path: Path) -> None:
    few = {"KEEP_DAILY": "1", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0", "KEY": "", **store}
    assert ops("backup", **few).status == 0
    (newest,) = kept(tmp_path)
    old = aged(newest, 40)
    for place in stores(settings(store)):
        place.send(place.manifest(newest.name).model_copy(update={"id": old.name}), old)
    pruned = ops("prune", **few)
    assert (pruned.status, pruned.out.count(f"deleted {old.name}")) == (0, 3), pruned
    assert [place.ids() for place in stores(settings(store))] == [[newest.name]] * 2


def test_each_service_has_a_prefix_of_its_own_and_what_lies_below_another_is_not_seen(ops: Ops, store: Store) -> None:
    assert BackupsSettings().prefix == f"backups/{ServiceSettings().name}/"
    below = {**store, "PREFIX": f"{store['PREFIX']}another/"}
    assert ops("backup", **below).status == 0
    assert [len(place.ids()) for place in stores(settings(below))] == [1, 1]
    assert [place.ids() for place in stores(settings(store))] == [[], []]


def test_settings_that_cannot_be_meant_are_named(ops: Ops) -> None:
    for wrong, told in (
        ({"KEY": "AGE-SECRET-KEY-1"}, "BACKUPS__KEY: is no age identity"),
        ({"ACCESS_KEY": "half"}, "go together"),
        ({"REPLICA_BUCKET": "two"}, "set BACKUPS__BUCKET too"),
        ({"KEEP_DALY": "3"}, "did you mean BACKUPS__KEEP_DAILY?"),
        ({"KEEP_DAILY": "0"}, "BACKUPS__KEEP_DAILY"),
    ):
        said = ops("backup", **wrong)
        assert (said.status, told in said.error) == (2, True), said


def test_a_key_is_made_and_is_another_each_time(ops: Ops) -> None:
    made = [ops("key").out for _ in range(2)]
    assert Key(made[0]).fingerprint != Key(made[1]).fingerprint


def test_a_key_is_read_from_the_file_as_it_was_made(ops: Ops) -> None:
    file = ops("key").out
    assert ops("backup", KEY=file).status == 0
    assert ops("verify", KEY=file.splitlines()[-1]).status == 0


def test_the_service_takes_no_notice_of_these_settings(monkeypatch: pytest.MonkeyPatch, ops: Ops) -> None:
    monkeypatch.setenv("BACKUPS__KEEP_DAILY", "3")
    assert "backups" not in {group.group for group in SETTINGS}
    with pytest.raises(ConfigurationInvalid) as raised:
        load(SETTINGS, env_file=None, overrides={"service": {"environment": "nowhere"}})
    assert "SERVICE__ENVIRONMENT" in str(raised.value)
    assert "BACKUPS__" not in str(raised.value)
    assert ops("backup", KEEP_DAILY="3").status == 0


def test_a_command_imports_neither_the_service_nor_a_web_framework() -> None:
    code = "import sys, ops.backups.command; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)  # noqa: S603
    assert not {"app.main", "fastapi", "starlette", "uvicorn", "app.extensions"} & set(done.stdout.split())
