"""Sliding windows: how often one client has called of late, and when it may again.

Two counters a window: the requests of the current one, and those of the one before it, which weigh less and less as the
current one passes (https://blog.cloudflare.com/counting-things-a-lot-of-different-things/).
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import NamedTuple

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Limit:
    """So many requests in so many seconds, each pair a window. Without one, nothing is limited."""

    windows: tuple[tuple[int, int], ...]

    @cached_property
    def policy(self) -> str:
        """The windows, as `RateLimit-Policy` has them."""
        return ", ".join(f"{quota};w={seconds}" for seconds, quota in self.windows)

    @cached_property
    def headers(self) -> tuple[tuple[Header, Header], ...]:
        """The headers that are the same for everybody, by window; encoded once."""
        policy = (b"ratelimit-policy", self.policy.encode())
        return tuple(((b"ratelimit-limit", b"%d" % quota), policy) for _, quota in self.windows)


class Verdict(NamedTuple):
    """Whether a request may pass, and where its client stands in the window that leaves it the least."""

    place: int
    """Which of the windows that is."""
    remaining: int
    reset: int
    """Seconds until the window ends."""
    retry_after: int
    """Seconds until a request may pass; 0 where this one may."""


def limit(per_minute: int | None, per_hour: int | None) -> Limit:
    """A limit from its quotas. None is no window.

    Raises:
        ValueError: the limit would let nothing pass.
    """
    both = [(60, per_minute), (3600, per_hour)]
    if any(quota is not None and quota < 1 for _, quota in both):
        raise ValueError(f"a limit lets one request pass at least: per_minute={per_minute}, per_hour={per_hour}")
    return Limit(tuple((seconds, quota) for seconds, quota in both if quota is not None))


def count(counters: list[int], windows: tuple[tuple[int, int], ...], now: float) -> Verdict:
    """Count a request if it may pass. `counters` has three numbers a window: its index, requests, and those before."""
    tightest = 0
    least, longest, reset = float("inf"), 0.0, 0.0
    for place, (seconds, quota) in enumerate(windows):
        at = 3 * place
        index = int(now // seconds)
        passed = now - index * seconds
        if counters[at] != index:
            counters[at + 2] = counters[at + 1] if counters[at] == index - 1 else 0
            counters[at + 1] = 0
            counters[at] = index
        used, before = counters[at + 1], counters[at + 2]
        left = quota - used - before * (1 - passed / seconds)
        if left < 1:
            if used >= quota:  # so the next window begins with too many as well
                wait = seconds - passed + seconds * (1 - (quota - 1) / used)
            else:
                wait = seconds * (1 - (quota - 1 - used) / before) - passed
            if wait > longest:
                longest, tightest, reset = wait, place, seconds - passed
        elif left < least and not longest:
            least, tightest, reset = left, place, seconds - passed
    if longest:
        return Verdict(tightest, 0, ceil(reset), max(1, ceil(longest)))
    for current in range(1, len(counters), 3):
        counters[current] += 1
    return Verdict(tightest, int(least) - 1, ceil(reset), 0)
