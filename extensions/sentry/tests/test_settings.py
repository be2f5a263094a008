"""The settings, as the environment has them."""

import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.extensions.sentry import SentrySettings


@pytest.mark.parametrize("dsn", ["https://key@sentry.example.com/1", "http://key@[::1]:9000/below/22"])
def test_a_dsn_is_taken(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("SENTRY__DSN", dsn)
    found = load([SentrySettings], env_file=None).of(SentrySettings)
    assert found.dsn is not None
    assert found.dsn.get_secret_value() == dsn
    assert dsn not in repr(found)


@pytest.mark.parametrize(
    "dsn",
    ["key", "https://sentry.example.com/1", "https://key@sentry.example.com/", "ftp://key@h/1", "http://key@[1/1"],
)
def test_what_is_no_dsn_stops_the_start_by_name_and_is_not_repeated(monkeypatch: pytest.MonkeyPatch, dsn: str) -> None:
    monkeypatch.setenv("SENTRY__DSN", dsn)
    with pytest.raises(ConfigurationInvalid) as refused:
        load([SentrySettings], env_file=None)
    assert refused.value.mistakes == ("SENTRY__DSN: has to look like https://key@sentry.example.com/1",)


@pytest.mark.parametrize("rate", ["-0.1", "1.1", "some"])
def test_a_share_is_between_nothing_and_all(monkeypatch: pytest.MonkeyPatch, rate: str) -> None:
    monkeypatch.setenv("SENTRY__TRACES_SAMPLE_RATE", rate)
    with pytest.raises(ConfigurationInvalid, match="SENTRY__TRACES_SAMPLE_RATE: Input should be"):
        load([SentrySettings], env_file=None)
