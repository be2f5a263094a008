"""Requests that schemathesis makes from the service's own documentation find nothing."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.live.conftest import Make, Run
from tests.live.service import Rendered

CHECKS = """
# A stale or missing ETag is 412 or 428, and a rule that no schema can express is 422.
[checks]
enabled = true
positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "428"]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "412", "413", "415", "422", "428"]
missing_required_header.expected-statuses = ["428"]

# PUT /orders/feed is PUT /orders/{order_id} with an id that is none.
[[operations]]
include-name = "GET /api/v1/orders/feed"
checks.unsupported_method.enabled = false
checks.allow_header_conformance.enabled = false
"""


@pytest.mark.timeout(300)
def test_schemathesis_finds_nothing(base: str, rendered: Make, run: Run, tmp_path: Path) -> None:
    rendering: Rendered = rendered(database=base)
    service = run(rendering, HTTP__DOCS="true")
    tool = rendering.python.parent / "schemathesis"
    assert tool.exists(), "schemathesis is missing: `uv pip install schemathesis`"
    (tmp_path / "schemathesis.toml").write_text(CHECKS)
    command = [
        str(tool),
        "run",
        f"{service.url}/openapi.json",
        "--max-examples=15",
        "--seed=1",
        "--no-color",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert re.search(r"[1-9]\d* (?:generated|test cases|passed)", done.stdout), done.stdout[-3000:]
    assert not [line for line in service.lines() if line["level"] in {"error", "critical"}]
