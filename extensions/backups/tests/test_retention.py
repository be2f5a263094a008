"""Retention: the backups that are kept, among them always the last good one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree

import pytest

from ops.backups.making import staying
from ops.backups.settings import BackupsSettings
from tests.ops.conftest import Ops, kept


def test_a_year_of_days_leaves_seven_days_four_weeks_and_twelve_months() -> None:
    newest = datetime(2026, 11, 21, 3, tzinfo=UTC)
    times = {f"{n}": newest - timedelta(days=n) for n in range(400)}
    stay = sorted(staying(times, BackupsSettings()), key=int)
    assert stay[:7] == [str(n) for n in range(7)]
    weeks = {times[one].isocalendar()[:2] for one in stay}
    assert {(newest - timedelta(weeks=n)).isocalendar()[:2] for n in range(4)} <= weeks
    assert len({(times[one].year, times[one].month) for one in stay}) == 12
    assert len(stay) < 7 + 4 + 12


def test_all_of_the_last_day_stay_and_nothing_goes_while_nothing_new_comes() -> None:
    newest = datetime(2020, 1, 31, 12, tzinfo=UTC)
    times = {f"{n}": newest - timedelta(hours=n) for n in range(48)}
    few = BackupsSettings(keep_daily=1, keep_weekly=0, keep_monthly=0)
    assert staying(times, few) == {str(n) for n in range(24)}
    assert staying({}, few) == set()


def aged(folder: Path, days: int) -> Path:
    """A copy of an unlocked backup, made days before."""
    manifest = json.loads((folder / "manifest.json").read_text())
    time = datetime.fromisoformat(manifest["time"]) - timedelta(days=days)
    manifest |= {"time": time.isoformat(), "id": f"{time:%Y%m%dT%H%M%SZ}-{days:04x}"}
    target = Path(copytree(folder, folder.with_name(manifest["id"])))
    (target / "manifest.json").write_text(json.dumps(manifest))
    return target


def test_what_is_old_goes_unless_nothing_good_would_stay(ops: Ops, tmp_path: Path) -> None:
    few = {"KEY": "", "KEEP_DAILY": "1", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0"}
    assert ops("backup", **few).status == 0
    (newest,) = kept(tmp_path)
    old = aged(newest, 40)
    whole = (newest / "database.gz").read_bytes()
    (newest / "database.gz").write_bytes(whole[:-1])
    refused = ops("prune", **few)
    assert (refused.status, "nothing was deleted" in refused.error) == (10, True), refused
    assert kept(tmp_path) == [old, newest]
    (newest / "database.gz").write_bytes(whole)
    assert ops("prune", **few).out == f"deleted {old.name} (here)\n"
    assert kept(tmp_path) == [newest]


def test_backups_of_another_service_are_left_alone(ops: Ops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {"KEY": "", "KEEP_DAILY": "1", "KEEP_WEEKLY": "0", "KEEP_MONTHLY": "0"}
    monkeypatch.setenv("SERVICE__NAME", "billing")
    assert ops("backup", **few).status == 0
    (theirs,) = kept(tmp_path)
    old = aged(theirs, 40)
    monkeypatch.delenv("SERVICE__NAME")
    assert "no backup yet of " in ops("list", **few).out
    assert [ops(command, **few).status for command in ("verify", "drill", "restore")] == [4, 4, 4]
    made = ops("backup", **few)
    assert (made.status, "deleted" in made.out, ops("verify", "--all", **few).out.count("is whole")) == (0, False, 1)
    assert {old, theirs} < set(kept(tmp_path))
    refused = ops("restore", theirs.name, "--yes", **few)
    assert (refused.status, refused.error.count("\n"), "SERVICE__NAME=billing" in refused.error) == (3, 1, True)
    monkeypatch.setenv("SERVICE__NAME", "billing")
    assert ops("restore", theirs.name, "--yes", **few).status == 0
