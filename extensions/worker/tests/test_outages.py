"""The server of the queue is away, or stands still: requests are told in time, and all goes on when it is back."""

import signal
import subprocess
from time import monotonic
from uuid import uuid4

from tests.conftest import Start
from tests.extensions.worker.test_enqueuing import slice_of_parcels


async def test_a_queue_that_is_away_is_said(start: Start) -> None:
    client = await start(extra=[slice_of_parcels()], worker={"url": "redis://127.0.0.1:1/0"})
    refused = await client.post("/noted/1")
    assert (refused.status_code, refused.json()["code"]) == (500, "follow_up_failed")  # its data is stored
    assert (await client.get("/health/ready")).status_code == 200
    assert (await client.get("/health")).json()["status"] == "degraded"
    assert (await client.get("/jobs")).status_code == 503


async def test_a_queue_that_stands_still_is_said_in_time_and_used_again_when_it_goes_on(
    start: Start, redis: tuple[str, subprocess.Popen[bytes]]
) -> None:
    url, process = redis
    client = await start(extra=[slice_of_parcels()], worker={"url": url, "queue": uuid4().hex})
    assert (await client.post("/noted/1")).status_code == 200
    process.send_signal(signal.SIGSTOP)
    try:
        started = monotonic()
        answers = [await client.post("/noted/2"), await client.get("/jobs")]
        waited = monotonic() - started
    finally:
        process.send_signal(signal.SIGCONT)
    said = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert said == [(500, "follow_up_failed"), (503, "jobs_unavailable")]
    assert waited < 15, "twice four seconds, on a busy machine"
    assert (await client.post("/noted/3")).status_code == 200
    assert (await client.get("/jobs")).json()["queued"] >= 2
