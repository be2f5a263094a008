"""Processes: one counts in memory; several count into files of one folder, and whichever is asked reads them all."""

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

Registries = tuple[CollectorRegistry, CollectorRegistry | None]
"""The one that is read, and the one that metrics are made in."""


def alone() -> Registries:
    """For a process that is the only one."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry, registry


def share(folder: Path) -> Registries:
    """For one of several: what it counts stands in `folder`. To be called before the first metric is made.

    https://prometheus.github.io/client_python/multiprocess/
    """
    folder.mkdir(exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    # The library looks at the variable when it is imported, which a feature may have done before this.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(Processes(folder))  # first, so that the gauges of the dead are gone when the files are read
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry, None


class Processes(Collector):
    """CPU, memory, files and start of each process, by its id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterable[Metric]:
        """The processes that live. The gauges of all others are thrown away: what they counted stays."""
        families: dict[str, Metric] = {}
        for pid in self._living():
            for family in _of(pid):
                shared = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                for sample in family.samples:
                    shared.add_sample(sample.name, {**sample.labels, "pid": str(pid)}, sample.value)
        return families.values()

    def _living(self) -> Iterator[int]:
        for pid in sorted({int(path.stem.rpartition("_")[2]) for path in self.folder.glob("*.db")}):
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                with suppress(FileNotFoundError):  # another process was asked as well, and was faster
                    mark_process_dead(pid, str(self.folder))  # type: ignore[no-untyped-call]
            else:
                yield pid


def _of(pid: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()
