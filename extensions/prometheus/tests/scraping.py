"""A scrape: the numbers behind the text of /metrics."""

import anyio
import httpx2
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


class Scrape:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples = [sample for family in self.families.values() for sample in family.samples]

    def total(self, name: str, /, **labels: str) -> float:
        """The sum of a sample over all series that have these labels."""
        return sum(sample.value for sample in self.having(name, **labels))

    def values(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {sample.labels[label] for sample in self.having(name)}

    def having(self, name: str, /, **labels: str) -> list[Sample]:
        """The series of a sample that have these labels."""
        return [one for one in self.samples if one.name == name and labels.items() <= one.labels.items()]


async def scrape(client: httpx2.AsyncClient) -> Scrape:
    """Ask for the metrics."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)


async def scrape_until(client: httpx2.AsyncClient, name: str, least: float) -> Scrape:
    """Ask for the metrics until a sample has grown so far, 5 seconds at most."""
    for _ in range(500):
        found = await scrape(client)
        if found.total(name) >= least:
            return found
        await anyio.sleep(0.01)
    raise AssertionError(f"{name} is {found.total(name)} and not {least}")
