"""Tests of one group run on one worker, where `make test` runs them on two."""

import pytest


@pytest.mark.xdist_group("together")
def test_the_scheduler_is_told_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    by_groups = bool(request.config.getoption("loadgroup", default=False))
    assert request.node.nodeid.endswith("@together") is by_groups
