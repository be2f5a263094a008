"""Runs a command of a service with a clock that is some seconds ahead: `python another_clock.py 30 worker`."""

import datetime
import runpy
import sys
import time
from pathlib import Path
from typing import Any

AHEAD = float(sys.argv.pop(1))
real_time, real_datetime = time.time, datetime.datetime


class Instances(type):
    """Makes every time an instance of the class that replaces `datetime`."""

    def __instancecheck__(cls, instance: object) -> bool:
        """Return whether an object is a time, by whatever class it was made."""
        return isinstance(instance, real_datetime)


class OtherDatetime(datetime.datetime, metaclass=Instances):
    """`datetime` with the other clock."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        """The time by the other clock."""
        return real_datetime.now(tz) + datetime.timedelta(seconds=AHEAD)


if __name__ == "__main__":
    time.time = lambda: real_time() + AHEAD
    datetime.datetime = OtherDatetime  # type: ignore[misc]
    sys.path[0] = str(Path.cwd())  # as `python -m` has it; this folder has modules that are called like libraries
    runpy.run_module("app", run_name="__main__", alter_sys=True)
