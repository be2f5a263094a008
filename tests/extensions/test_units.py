"""Quantities that callers send and get, over a real connection and in a real table."""

from collections.abc import Callable

import pytest

from tests.extensions.sliced import SLICES, sliced
from tests.live.conftest import Make, Run
from tests.live.service import Rendered, Service
from tests.tree import CHOICES

PARCELS = "/api/v1/parcels"


@pytest.fixture(scope="module", params=CHOICES["database"])
def service(request: pytest.FixtureRequest, rendered: Make) -> Rendered:
    """A service with parcels, on each database."""
    return sliced(rendered, "parcels", extensions=["units"], database=request.param)


@pytest.fixture
def start(service: Rendered, run: Run) -> Callable[[], Service]:
    """Starts a process."""
    return lambda: run(service)


def test_quantities_are_stored_in_the_base_unit_and_answered_in_the_asked_one(start: Callable[[], Service]) -> None:
    process = start()
    for weight in ("2.5 t", 2500, "2500000 g"):
        answer = process.http.post(PARCELS, json={"weight": weight, "speed": "10 m/s"})
        assert answer.status_code == 201, answer.text
        assert answer.json() == {"weight": 2500.0, "speed": 36.0}
    assert process.http.get(f"{PARCELS}/total").json() == 7500.0
    assert process.http.get(f"{PARCELS}/total", params={"unit": "t"}).json() == 7.5
    refused = process.http.get(f"{PARCELS}/total", params={"unit": "m"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unit_incompatible")
    for weight, code in {
        "3 m": "unit_incompatible",
        "3 zz": "unit_unknown",
        "1 kg; import os": "quantity_invalid",
        "9**9**9**9": "quantity_invalid",
        "9" * 100_000: "quantity_invalid",
        "11 t": "less_than_equal",
    }.items():
        answer = process.http.post(PARCELS, json={"weight": weight, "speed": 1})
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("body.weight", code)]
        assert len(answer.content) < 1000
    assert process.http.get(f"{PARCELS}/total").json() == 7500.0


def test_a_unit_that_does_not_exist_stops_the_start_with_one_line(rendered: Make) -> None:
    service = sliced(rendered, "parcels", extensions=["units"])
    slice_ = service.root / "app" / "features" / "parcels.py"
    slice_.write_text((SLICES / "parcels.py").read_text().replace('Unit("kg")', 'Unit("kgg")'))
    done = service.run("app")
    assert done.returncode == 3
    assert "a field is declared in kgg, and there is no such unit" in done.stdout
    assert "Traceback" not in done.stdout
