"""Random bytes on the socket: no 5xx, no lasting memory, no delay of others, and one log line for a connection.

`FUZZ_SECONDS=3600` makes it an hour, and `FUZZ_SEED` repeats a run, whose output says its seed.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest

from tests.live.conftest import Make
from tests.live.fuzzing import GROWTH, LAG, Script, Watch, attack, play, script
from tests.live.service import Service, running

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))
SEED = int(os.environ.get("FUZZ_SEED", time.time()))
CONNECTIONS = 40
WARM = (5, 300)
"""Rounds after which memory is taken anew: a service fills its caches and arenas, from 92 MB to 102 in 200 rounds."""
SETTINGS = {
    "HTTP__HEADER_TIMEOUT": "1",
    "HTTP__RECEIVE_TIMEOUT": "1",
    "HTTP__STALL_TIMEOUT": "1",
    "HTTP__DOCS": "true",
    "SERVER__KEEP_ALIVE": "1",
    "DATABASE__SLOW_QUERY": "60",  # the machine may be busy with others
    "LOG__SLOW_REQUEST": "60",
}


@pytest.fixture(scope="module")
def service(rendered: Make, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(rendered(), tmp_path_factory.mktemp("fuzzed") / "service.log", SETTINGS) as found:
        found.http.close()
        found.log.write_text("")
        yield found


async def play_all(port: int, network: str, scripts: list[Script]) -> None:
    await asyncio.gather(*(play(port, one, f"{network}.{number}") for number, one in enumerate(scripts, 1)))


@pytest.mark.timeout(SECONDS + 120)
def test_random_bytes_do_no_harm(service: Service) -> None:
    print(f"FUZZ_SEED={SEED}")  # noqa: T201  # pytest shows it if this fails
    ends = time.monotonic() + SECONDS
    lines, attacks = Counter[str](), dict[str, int]()
    number = 0
    while time.monotonic() < ends or number <= WARM[0]:
        number += 1
        chance = random.Random(SEED + number)  # noqa: S311  # no secret
        scripts = [script(chance) for _ in range(CONNECTIONS)]
        place = f"round {number} of FUZZ_SEED={SEED}"
        network = f"127.{number // 250 % 250}.{number % 250}"  # a late line is known by its address
        rounds = attack(service, partial(play_all, service.port, network, scripts))
        attacks[network] = rounds.number
        assert rounds.delay < LAG, place
        found = service.lines()
        service.log.write_text("")  # an hour of it is large
        for line in found:
            assert line["level"] in {"info", "warning"}, (place, line)
            assert line.get("status", 0) < 500, (place, line)
            assert "client" in line, (place, line)
            if line["logger"] != "access" and line["client"] != "unknown":  # reset before it could be asked
                client = line["client"]
                lines[client] += 1
                assert lines[client] <= attacks[client.rpartition(".")[0]], (place, line)
        if number in WARM:
            before = Watch(service).memory()
    assert Watch(service).memory() - before < GROWTH, f"{number} rounds of FUZZ_SEED={SEED}"
