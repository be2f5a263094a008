"""Which backups stay: the newest of so many days, weeks and months, and all of the last day."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from ops.backups.settings import BackupsSettings


def staying(times: Mapping[str, datetime], settings: BackupsSettings) -> set[str]:
    """The ids that stay. Days without a backup do not count, so none goes where no new ones come."""
    newest_first = sorted(times, key=lambda backup_id: times[backup_id], reverse=True)
    if not newest_first:
        return set()
    recent = times[newest_first[0]] - timedelta(days=1)
    kept = {backup_id for backup_id in newest_first if times[backup_id] > recent}
    rules: list[tuple[int, Callable[[datetime], object]]] = [
        (settings.keep_daily, lambda time: time.date()),
        (settings.keep_weekly, lambda time: time.isocalendar()[:2]),
        (settings.keep_monthly, lambda time: (time.year, time.month)),
    ]
    for number, period in rules:
        seen: dict[object, str] = {}
        for backup_id in newest_first:
            seen.setdefault(period(times[backup_id]), backup_id)
        kept |= set(list(seen.values())[:number])
    return kept
