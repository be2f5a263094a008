"""A server that the service can do without goes and comes back."""

from contextvars import ContextVar

import anyio
import pytest

from app.core.data import redis_client
from app.core.data.redis_client import BackendUnavailable, RedisClient
from app.core.observability import throttle
from app.core.observability.throttle import Throttle

CALLER: ContextVar[str] = ContextVar("CALLER", default="none")


class Server(RedisClient):
    """A client of a server that answers, or does not."""

    def __init__(self) -> None:
        url = "redis://localhost:1/0"  # nothing is sent there
        super().__init__(url, timeout=1, connections=1, server="the server", meanwhile="it is not missed")
        self.there = True
        self.calls = 0
        self.callers: list[str] = []

    async def call(self) -> int:
        self.calls += 1
        if not self.there:
            raise ConnectionRefusedError("refused")
        return self.calls

    async def _look(self) -> None:
        self.callers.append(CALLER.get())
        await self._guarded(self.call)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    """One that is looked for often."""
    monkeypatch.setattr(redis_client, "PAUSE", 0.02)
    return Server()


async def looked_for(server: Server, times: int) -> None:
    """Wait until it was."""
    with anyio.fail_after(5):
        while len(server.callers) < times:  # noqa: ASYNC110  # no event to wait for
            await anyio.sleep(0.005)


async def test_while_it_is_away_nobody_asks_but_the_one_who_looks(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    assert await server._guarded(server.call) == 1
    server.there = False
    CALLER.set("a request")
    for _ in range(100):
        with pytest.raises(BackendUnavailable):
            await server._guarded(server.call)
    assert server.calls == 2
    await looked_for(server, 3)
    assert set(server.callers) == {"none"}
    server.there = True
    with anyio.fail_after(5):
        while "answers again" not in caplog.text:  # noqa: ASYNC110  # no event to wait for
            await anyio.sleep(0.005)
    looked = len(server.callers)
    assert await server._guarded(server.call) == server.calls
    await anyio.sleep(0.1)
    assert len(server.callers) == looked
    assert [record.getMessage() for record in caplog.records] == [
        "the server does not answer: it is not missed (refused)",
        "the server answers again",
    ]


async def test_an_error_that_is_no_outage_is_the_callers(server: Server) -> None:
    async def wrong() -> None:
        raise ValueError("of the caller's")

    with pytest.raises(ValueError, match="of the caller's"):
        await server._guarded(wrong)
    assert await server._guarded(server.call) == 1


async def test_after_a_stop_nobody_looks(server: Server) -> None:
    server.there = False
    with pytest.raises(BackendUnavailable):
        await server._guarded(server.call)
    await server.close()
    await anyio.sleep(0.1)
    assert server.callers == []


def test_a_throttle_lets_one_call_pass_each_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(throttle, "monotonic", lambda: now)
    due = Throttle()
    assert [due() for _ in range(3)] == [True, False, False]
    now = 160.0
    assert [due() for _ in range(3)] == [True, False, False]
