"""Several processes that count into one folder. Here one of them is real; the template tests it with real ones."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from prometheus_client import Counter, values
from prometheus_client.multiprocess import MultiProcessCollector

from app.core import telemetry
from app.core.component import Component, State
from tests.conftest import Start
from tests.extensions.prometheus.scraping import scrape


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the processes share; what is changed in the library for it is undone."""
    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return tmp_path


def ended() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])  # our own program
    process.wait()
    return process.pid


async def test_what_one_process_counts_the_other_tells(start: Start, folder: Path) -> None:
    client = await start(server={"workers": 2, "shared": folder})
    await client.get("/nothing")
    telemetry.emit(telemetry.BusinessEvent("order_shipped"))
    copied = folder / "prometheus" / f"counter_{os.getppid()}.db"
    copied.write_bytes((folder / "prometheus" / f"counter_{os.getpid()}.db").read_bytes())
    found = await scrape(client)
    assert found.total("http_requests_total", route="unmatched") == 2
    assert found.total("business_events_total", event="order_shipped") == 2
    assert found.values("process_cpu_seconds_total", "pid") == {str(os.getpid()), str(os.getppid())}


async def test_the_gauges_of_a_process_that_ended_are_gone_and_its_counters_stay(start: Start, folder: Path) -> None:
    client = await start(server={"workers": 2, "shared": folder})
    await client.get("/nothing")
    shared, dead = folder / "prometheus", ended()
    size = (await scrape(client)).total("database_pool_size")
    for path in list(shared.glob(f"*_{os.getpid()}.db")):
        (shared / path.name.replace(str(os.getpid()), str(dead))).write_bytes(path.read_bytes())
    found = await scrape(client)
    assert found.total("database_pool_size") == size
    assert found.total("http_requests_total") == 2
    assert found.values("process_cpu_seconds_total", "pid") == {str(os.getpid())}
    assert not list(shared.glob(f"gauge_live*_{dead}.db"))


async def test_gauges_are_fresh_before_anybody_asks(start: Start, folder: Path) -> None:
    await start(server={"workers": 2, "shared": folder}, database={"pool_size": 7, "pool_overflow": 2})
    await anyio.lowlevel.checkpoint()
    reader = MultiProcessCollector(None, str(folder / "prometheus"))  # type: ignore[no-untyped-call]
    told = {sample.name: sample.value for family in reader.collect() for sample in family.samples}  # type: ignore[no-untyped-call]
    assert told["database_pool_limit"] - told["database_pool_size"] == 2


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_metric_of_a_feature_is_served_as_well(start: Start, folder: Path, workers: int) -> None:
    @asynccontextmanager
    async def lifespan(state: State) -> AsyncIterator[State]:
        Counter("notes", "Notes.", registry=state["metrics"]).inc()
        yield {}

    own = Component(name="notes", lifespan=lifespan)
    client = await start(server={"workers": workers, "shared": folder}, extra=[own])
    assert (await scrape(client)).total("notes_total") == 1
