"""Files with the metrics of other programs, which are served as well."""

from pathlib import Path

import pytest
from prometheus_client import values

from tests.conftest import Start
from tests.extensions.prometheus.scraping import scrape

TEXT = """# HELP copy_last_success_timestamp_seconds When a copy was last made.
# TYPE copy_last_success_timestamp_seconds gauge
copy_last_success_timestamp_seconds{service="notes"} 1767225600.5
"""


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_metrics_of_a_file_are_there_as_soon_as_the_file_is(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    file = tmp_path / "copies.prom"
    client = await start(prometheus={"files": str(file)}, server={"workers": workers, "shared": tmp_path})
    assert not (await scrape(client)).having("copy_last_success_timestamp_seconds")
    file.write_text(TEXT)
    (found,) = (await scrape(client)).having("copy_last_success_timestamp_seconds")
    assert (found.labels, found.value) == ({"service": "notes"}, 1767225600.5)
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert 'copy_last_success_timestamp_seconds{service="notes"} 1.7672256005e+09' in answer.text


async def test_a_file_that_cannot_be_read_is_left_out_and_told_of_once(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, broken = tmp_path / "good.prom", tmp_path / "broken.prom"
    good.write_text(TEXT)
    broken.write_text("copies nonsense")
    client = await start(prometheus={"files": f"{broken},{tmp_path},{good}"})
    for _ in range(2):
        assert (await scrape(client)).total("copy_last_success_timestamp_seconds", service="notes") > 0
    told = [record.getMessage() for record in caplog.records if "PROMETHEUS__FILES" in record.getMessage()]
    assert [str(broken) in told[0], str(tmp_path) in told[1], len(told)] == [True, True, 2]
