"""Text files: the metrics of what runs beside the service and has no port of its own."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)


class TextFiles(Collector):
    """Reads each file when it is asked. One that is not there has no metrics, which is what alerts ask for."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = [Path(path) for path in paths]
        self._refused: set[Path] = set()

    def collect(self) -> Iterator[Metric]:
        """The metrics of all files. One that cannot be read is left out, and told of once."""
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
