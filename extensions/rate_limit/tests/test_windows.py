"""Sliding windows, with a clock of the test's own."""

import random

import pytest

from app.extensions.rate_limit.windows import LocalCounters, count, limit

Windows = tuple[tuple[int, int], ...]
MINUTE = limit(60, None).windows
BOTH = limit(60, 1000).windows


def allowed(counters: list[int], limits: Windows, now: float, times: int) -> int:
    """Return how many of so many requests at one moment pass."""
    return sum(count(counters, limits, now).retry_after == 0 for _ in range(times))


def test_as_many_pass_as_the_quota_says() -> None:
    assert allowed([0, 0, 0], MINUTE, 6000.0, 100) == 60


def test_what_is_told_counts_down() -> None:
    counters = [0, 0, 0]
    verdicts = [count(counters, MINUTE, 6010.0) for _ in range(61)]
    assert [verdict.remaining for verdict in verdicts] == [*range(59, -1, -1), 0]
    assert {verdict.reset for verdict in verdicts} == {50}
    assert [verdict.retry_after for verdict in verdicts[:60]] == [0] * 60


def test_a_burst_at_the_edge_of_two_windows_is_not_twice_the_quota() -> None:
    counters = [0, 0, 0]
    assert allowed(counters, MINUTE, 6059.9, 100) == 60
    assert allowed(counters, MINUTE, 6060.1, 100) == 0
    assert allowed(counters, MINUTE, 6090.0, 100) == 30
    assert allowed(counters, MINUTE, 6300.0, 100) == 60


@pytest.mark.parametrize("limits", [MINUTE, BOTH, limit(1, None).windows, limit(None, 7).windows, limit(5, 6).windows])
def test_whoever_comes_again_when_told_passes_and_not_before(limits: Windows) -> None:
    chance = random.Random(7)  # noqa: S311  # no secret
    counters = [0] * 3 * len(limits)
    now = 1_000_000.0
    for _ in range(2000):
        now += chance.choice([0.0, 0.01, 1, 20, 500])
        verdict = count(counters, limits, now)
        if verdict.retry_after:
            assert count(list(counters), limits, now + verdict.retry_after).retry_after == 0
            if verdict.retry_after > 1:
                assert count(list(counters), limits, now + verdict.retry_after - 1.001).retry_after > 0


def test_never_more_pass_in_any_window_than_one_and_a_half_quotas() -> None:
    chance = random.Random(7)  # noqa: S311  # no secret
    counters, now, passed = [0, 0, 0], 6000.0, []
    for _ in range(5000):
        now += chance.choice([0.0, 0.1, 2, 30])
        if count(counters, MINUTE, now).retry_after == 0:
            passed.append(now)
    assert len(passed) > 1000
    assert all(last - first >= 60 for first, last in zip(passed, passed[90:], strict=False))


def test_refused_requests_do_not_count() -> None:
    counters = [0, 0, 0]
    allowed(counters, MINUTE, 6000.0, 10_000)
    assert counters[1] == 60


def test_both_windows_bind() -> None:
    counters = [0] * 6
    passed = sum(allowed(counters, BOTH, 7200.0 + 60 * minute, 60) for minute in range(40))
    assert passed == 1000
    verdict = count(counters, BOTH, 7200.0 + 60 * 40)
    assert BOTH[verdict.place] == (3600, 1000)
    assert verdict.retry_after > 60


def test_a_limit_lets_something_pass() -> None:
    with pytest.raises(ValueError, match="per_minute=0"):
        limit(0, 5)


def test_the_number_of_clients_in_memory_is_bounded() -> None:
    memory = LocalCounters(clients=100)
    for number in range(1000):
        memory.hit(f"address {number}", limit(60, 1000))
    assert len(memory._counters) <= 100
    assert memory.hit("address 999", limit(60, 1000)).remaining == 58  # the newest are those that are kept
