"""The registries: one process counts in memory; several count into files of one folder, and one of them reads all."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)
Registries = tuple[CollectorRegistry, CollectorRegistry | None]
"""The registry that is read, and the one that metrics are created in."""


def alone() -> Registries:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry, registry


def share(folder: Path) -> Registries:
    """Return the registries of one of several processes. Call it before the first metric is created.

    https://prometheus.github.io/client_python/multiprocess/
    """
    folder.mkdir(exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    # The library reads the variable when it is imported, which a feature may have done earlier.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    registry.register(Processes(folder))  # first: it removes the gauges of dead processes before the files are read
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    return registry, None


class Processes(Collector):
    """The CPU, memory, open files and start of each process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of living processes. Counters of dead ones stay, their gauges are removed."""
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
                with suppress(FileNotFoundError):  # another process was faster
                    mark_process_dead(pid, str(self.folder))  # type: ignore[no-untyped-call]
            else:
                yield pid


def _of(pid: int) -> Iterable[Metric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()


class TextFiles(Collector):
    """The metrics of programs beside the service, from files. Alerts cover a missing file."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = [Path(path) for path in paths]
        self._refused: set[Path] = set()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics of all files. An unreadable file is left out, and logged once."""
        for path in self.paths:
            try:
                families = list(text_string_to_metric_families(path.read_text()))
            except FileNotFoundError:
                continue
            except (OSError, ValueError) as error:
                if path not in self._refused:
                    logger.warning("PROMETHEUS__FILES: the metrics in %s cannot be read (%s)", path, error)
                self._refused.add(path)
            else:
                self._refused.discard(path)
                yield from families
