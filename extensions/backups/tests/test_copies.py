"""One copy replaces another: a dead store, a damaged file and a full disk hinder nothing that can be done."""

import errno
import os
import re
import shutil
from pathlib import Path

import obstore
import pytest

from ops.backups import making
from ops.backups.errors import DatabaseFailed, disk
from ops.backups.manifest import Manifest
from ops.backups.sealing import new_key
from ops.backups.stores import stores
from tests.ops.conftest import Ops, execute, kept, notes
from tests.ops.test_backing_up import changed, missing, unreadable
from tests.ops.test_retention import aged
from tests.ops.test_stores import settings

Store = dict[str, str]
DEAD = {"ENDPOINT": "http://127.0.0.1:1", "TIMEOUT": "1"}
FEW = {"KEEP_DAILY": "1", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0", "KEY": ""}


def manifest(folder: Path) -> Manifest:
    """Return the manifest of a backup on this machine."""
    return Manifest.model_validate_json((folder / "manifest.json").read_bytes())


def copied_at(tmp_path: Path) -> dict[str, float]:
    """Return when each store got its last copy, by the metrics."""
    lines = (tmp_path / "backups" / "backups.prom").read_text().splitlines()
    found = [line.rsplit(" ", 1) for line in lines if line.startswith("backup_copy_timestamp_seconds{")]
    return {labels.partition('store="')[2].partition('"')[0]: float(value) for labels, value in found}


def test_the_replica_serves_each_command_on_a_new_machine_while_the_first_store_is_dead(
    ops: Ops, store: Store, filled: str, tmp_path: Path
) -> None:
    assert ops("backup", **store).status == 0
    (backup,) = kept(tmp_path)
    shutil.rmtree(tmp_path / "backups")
    execute(filled, "DELETE FROM notes")
    listed = ops("list", **{**store, **DEAD})
    assert (listed.status, listed.error.count("\n")) == (6, 1), "the list is not whole, and says so"
    assert f"{backup.name}  " in listed.out
    assert listed.out.endswith("replica\n")
    for command in (["drill"], ["verify"], ["verify", backup.name], ["restore", "--yes"]):
        done = ops(*command, **{**store, **DEAD})
        assert (done.status, "bucket one (store)" in done.error, done.error.count("\n")) == (0, True, 1), done
    assert len(notes(filled)) == 3


def test_the_list_has_the_backups_of_this_machine_while_all_stores_are_dead(
    ops: Ops, store: Store, tmp_path: Path
) -> None:
    assert ops("backup").status == 0
    listed = ops("list", **{**store, **DEAD, "REPLICA_ENDPOINT": DEAD["ENDPOINT"]})
    assert (listed.status, listed.error.count("\n"), kept(tmp_path)[0].name in listed.out) == (6, 2, True), listed


def test_the_newest_is_the_newest_of_all_places(ops: Ops, store: Store, tmp_path: Path) -> None:
    assert ops("backup", KEY="").status == 0
    (newest,) = kept(tmp_path)
    old = aged(newest, 40)
    first, second = stores(settings(store))
    first.send(manifest(old), old)
    second.send(manifest(newest), newest)
    shutil.rmtree(tmp_path / "backups")
    assert f"{newest.name} is whole" in ops("verify", KEY="", **store).out
    assert re.search(rf"{newest.name}: \d rows", ops("drill", KEY="", **store).out)


def test_a_store_that_is_dead_keeps_neither_old_backups_nor_the_time_of_another_copy(
    ops: Ops, store: Store, tmp_path: Path
) -> None:
    assert ops("backup", **FEW, **store).status == 0
    (newest,) = kept(tmp_path)
    old = aged(newest, 40)
    for place in stores(settings(store)):
        place.send(manifest(old), old)
    before = copied_at(tmp_path)
    failed = ops("backup", **FEW, **{**store, **DEAD})
    assert (failed.status, failed.error.count("\n")) == (6, 1), failed
    assert old not in kept(tmp_path)
    first, second = stores(settings(store))
    assert (old.name in first.ids(), old.name in second.ids()) == (True, False)
    after = copied_at(tmp_path)
    assert (after["store"], after["replica"] > before["replica"]) == (before["store"], True)
    pruned = ops("prune", **FEW, **{**store, **DEAD})
    assert (pruned.status, pruned.error.count("\n")) == (6, 1), pruned


@pytest.mark.parametrize("culprit", ["disk", "database"])
def test_old_backups_go_though_no_new_one_can_be_made(
    ops: Ops, store: Store, tmp_path: Path, culprit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ops("backup", **FEW, **store).status == 0
    (newest,) = kept(tmp_path)
    old = aged(newest, 40)

    def fails(*_: object) -> None:
        if culprit == "disk":
            with disk(tmp_path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        raise DatabaseFailed("the database does not answer")

    monkeypatch.setattr(making, "make", fails)
    before = copied_at(tmp_path)
    failed = ops("backup", **FEW, **store)
    assert copied_at(tmp_path) == before, "nothing arrived"
    assert (failed.status, failed.error.count("\n")) == (7 if culprit == "disk" else 9, 1), failed
    assert (old.exists(), kept(tmp_path)) == (False, [newest])


def test_a_store_gets_what_it_has_missed_by_the_next_backup(ops: Ops, store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        assert ops("backup", **{**store, **DEAD}).status == 6
    damaged, _ = kept(tmp_path)
    changed(damaged)
    sent = ops("backup", **store)
    assert (sent.status, sent.error.count("\n"), damaged.name in sent.error) == (3, 1, True), sent
    first, _ = stores(settings(store))
    assert set(first.ids()) == {folder.name for folder in kept(tmp_path)} - {damaged.name}, "a damaged one is not sent"


@pytest.mark.parametrize("harm", [changed, missing, unreadable])
def test_a_damaged_copy_is_named_and_another_one_is_used(
    ops: Ops, store: Store, filled: str, tmp_path: Path, harm: object
) -> None:
    assert callable(harm)
    assert ops("backup", **store).status == 0
    (folder,) = kept(tmp_path)
    harm(folder)
    execute(filled, "DELETE FROM notes")
    for command in ("drill", "restore"):
        done = ops(command, *(["--yes"] if command == "restore" else []), **store)
        assert (done.status, f"backup {folder.name} is damaged" in done.error) == (0, True), done
        assert "store" in done.error, "the copy that is used is named"
    assert len(notes(filled)) == 3
    if harm is unreadable:
        assert "here (damaged), store, replica" in ops("list", **store).out


def test_verify_replaces_damaged_copies_by_a_good_one_and_says_so_once(ops: Ops, store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        assert ops("backup", **store).status == 0
    here, there = kept(tmp_path)
    whole = (here / "database.gz.age").read_bytes()
    changed(here)
    first, second = stores(settings(store))
    obstore.put(second.store, f"{store['PREFIX']}{there.name}/database.gz.age", b"short")
    repaired = ops("verify", "--all", **store)
    assert (repaired.status, repaired.error.count("\n")) == (3, 4), repaired
    assert f"backup {here.name} is damaged: database.gz.age is not what was stored\n" in repaired.error
    assert f"backup {here.name}: the copy in bucket one (store) is used\n" in repaired.error
    assert f"backup {here.name} was damaged: it was replaced\n" in repaired.error
    assert f"backup {there.name} was damaged in bucket two (replica): it was replaced\n" in repaired.error
    assert (here / "database.gz.age").read_bytes() == whole
    assert all(second.good(second.manifest(folder.name)) for folder in (here, there))
    again = ops("verify", "--all", **store)
    assert (again.status, again.error, again.out.count("is whole")) == (0, "", 2), again
    assert first.ids() == second.ids() == [here.name, there.name]


def test_backups_of_an_older_key_do_not_fail_the_scheduled_check(ops: Ops, tmp_path: Path) -> None:
    assert ops("backup").status == 0
    (old,) = kept(tmp_path)
    key = new_key()
    assert ops("backup", KEY=key).status == 0
    said = ops("verify", "--all", KEY=key)
    assert (said.status, said.out.count("is whole")) == (0, 1), said
    assert f"{old.name} was made with the key {manifest(old).key}: it is not read" in said.out


def test_a_backup_that_is_damaged_everywhere_is_refused_with_each_copy(
    ops: Ops, store: Store, filled: str, tmp_path: Path
) -> None:
    assert ops("backup", **store).status == 0
    (folder,) = kept(tmp_path)
    changed(folder)
    for place in stores(settings(store)):
        content = bytearray(obstore.get(place.store, f"{store['PREFIX']}{folder.name}/database.gz.age").bytes())
        content[-30] ^= 1
        obstore.put(place.store, f"{store['PREFIX']}{folder.name}/database.gz.age", bytes(content))
    execute(filled, "DELETE FROM notes WHERE id = 1")
    for command in (["drill"], ["verify"], ["restore", "--yes"]):
        refused = ops(*command, **store)
        assert (refused.status, refused.error.count("\n")) == (3, 3), refused
    assert len(notes(filled)) == 2
