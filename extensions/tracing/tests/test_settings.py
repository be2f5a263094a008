"""The settings, as the environment has them."""

import os
import subprocess
import sys

import pytest

from app.core.errors import ConfigurationInvalid
from app.core.settings import load
from app.extensions.tracing import TracingSettings

OFF = """
import sys
from app.main import create_app
create_app()
loaded = [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.instrumentation"))]
sys.exit(bool(loaded))
"""


@pytest.mark.parametrize("endpoint", ["http://collector:4318", "https://[::1]:4318/otlp"])
def test_an_endpoint_is_taken(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("TRACING__ENDPOINT", endpoint)
    monkeypatch.setenv("TRACING__HEADERS", "Authorization=Bearer abc")
    found = load([TracingSettings], env_file=None).of(TracingSettings)
    assert (found.endpoint, found.header_map()) == (endpoint, {"authorization": "Bearer abc"})
    assert "abc" not in repr(found)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ENDPOINT", "collector"),
        ("ENDPOINT", "grpc://collector:4317"),
        ("ENDPOINT", "http://[1"),
        ("ENDPOINT", "http://collector:4318?key=1"),
        ("HEADERS", "abc"),
        ("HEADERS", "=abc"),
        ("HEADERS", "a=b,,"),
        ("SAMPLE_RATE", "1.1"),
        ("INTERVAL", "0"),
    ],
)
def test_what_is_wrong_stops_the_start_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(f"TRACING__{variable}", value)
    with pytest.raises(ConfigurationInvalid) as refused:
        load([TracingSettings], env_file=None)
    (line,) = refused.value.mistakes
    assert line.startswith(f"TRACING__{variable}: ")


def test_without_an_endpoint_nothing_is_imported(database_url: str) -> None:
    environment = {**os.environ, "DATABASE__URL": database_url, "TRACING__ENDPOINT": ""}
    done = subprocess.run([sys.executable, "-c", OFF], env=environment, check=False, timeout=50)  # noqa: S603
    assert done.returncode == 0
