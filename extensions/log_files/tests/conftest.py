"""Fixtures of the log files' tests: the lines of a file and of its rotated ones."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Read = Callable[[str], list[dict[str, Any]]]


def contents(directory: Path, stream: str) -> list[bytes]:
    """Every line of a stream, the oldest file first."""
    files = [*sorted(directory.glob(f"{stream}-*.log*")), directory / f"{stream}.log"]
    texts = [gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes() for file in files[:-1]]
    last = files[-1].read_bytes() if files[-1].exists() else b""
    return b"".join([*texts, last]).splitlines()


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """The lines in `logs` below the test's folder. A service has to be closed before."""
    return lambda stream: [json.loads(line) for line in contents(tmp_path / "logs", stream)]
