"""When a call is tried again: exponential backoff with full jitter, `Retry-After` and a deadline over all of it."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic

from app.extensions.outbound.settings import Policy

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2."""
RETRIED = frozenset({429, 502, 503, 504})
"""Statuses that another attempt may change; a 500 mostly is the same one again."""


class Attempts:
    """One call, from its first attempt to its last."""

    def __init__(self, policy: Policy, *, repeatable: bool, clock: Callable[[], float] = monotonic) -> None:
        self.made = 0
        self._policy = policy
        self._most = policy.attempts if repeatable else 1
        self._clock = clock
        self._end = clock() + policy.deadline

    def seconds(self) -> float:
        """What the next attempt has: its own time, or what is left of the whole."""
        return min(self._policy.timeout, self._end - self._clock())

    def pause(self, retry_after: float | None) -> float | None:
        """Seconds until the next attempt, or None where there is none.

        Full jitter spreads callers best: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        if self.made >= self._most:
            return None
        most = min(self._policy.backoff_limit, self._policy.backoff * 2 ** (self.made - 1))
        pause = random.uniform(0, most) + (retry_after or 0)  # noqa: S311  # it spreads calls, and hides nothing
        return pause if self._clock() + pause < self._end else None


def retry_after(value: str | None) -> float | None:
    """The seconds that a `Retry-After` asks for (RFC 9110, 10.2.3); None where it says nothing that makes sense."""
    if not value:
        return None
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
