"""`@resilient` on functions with and without `async`."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.core.errors import NotFound
from app.extensions.outbound import (
    CallFailed,
    CallFinished,
    CallRetried,
    CallsExhausted,
    CircuitOpen,
    OutboundSettings,
    resilient,
)
from app.extensions.outbound.client import Outbound, guard_of, installed

Call = Callable[..., Awaitable[Any]]
QUICK = {"backoff": 0.001, "failures": 100, "timeout": 0.3}


@pytest.fixture
def configured_as() -> Any:
    """Installs settings for decorated functions, as the running service does."""
    return lambda **settings: installed(Outbound(OutboundSettings(**{**QUICK, **settings})))


def decorated(kind: str, *results: Any, **options: Any) -> tuple[Call, list[Any]]:
    """A function that returns or raises one result after another, and what it was called with."""
    left, calls = list(results), list[Any]()

    def result(*args: Any, **kwargs: Any) -> Any:
        calls.append((args, kwargs))
        value = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(value, Exception):
            raise value
        return value

    if kind == "async":

        @resilient("billing", **options)
        async def ask(*args: Any, **kwargs: Any) -> Any:
            """Ask."""
            await asyncio.sleep(0)
            return result(*args, **kwargs)

        return ask, calls

    @resilient("billing", **options)
    def ask_in_thread(*args: Any, **kwargs: Any) -> Any:
        return result(*args, **kwargs)

    return lambda *args, **kwargs: asyncio.to_thread(ask_in_thread, *args, **kwargs), calls


KINDS = pytest.mark.parametrize("kind", ["async", "thread"])


@KINDS
async def test_arguments_and_the_result_pass(kind: str, configured_as: Any, told: list[Any]) -> None:
    ask, calls = decorated(kind, 42)
    with configured_as():
        assert await ask(1, two=2) == 42
    assert calls == [((1,), {"two": 2})]
    assert isinstance(told[0], CallFinished)
    assert (told[0].service, told[0].outcome, told[0].attempts) == ("billing", "ok", 1)


@KINDS
async def test_a_failure_is_typed_and_keeps_its_cause(kind: str, configured_as: Any) -> None:
    ask, calls = decorated(kind, KeyError("a"))
    with configured_as(), pytest.raises(CallFailed) as failed:
        await ask()
    assert (failed.value.service, failed.value.reason) == ("billing", "KeyError")
    assert isinstance(failed.value.__cause__, KeyError)
    assert len(calls) == 1


@KINDS
async def test_what_may_be_repeated_is(kind: str, configured_as: Any, told: list[Any]) -> None:
    ask, calls = decorated(kind, OSError(), ValueError(), 42, repeatable=True)
    with configured_as():
        assert await ask() == 42
    assert len(calls) == 3
    assert [event.reason for event in told if isinstance(event, CallRetried)] == ["OSError", "ValueError"]


@KINDS
async def test_other_errors_pass_and_say_nothing_of_the_service(kind: str, configured_as: Any) -> None:
    ask, _ = decorated(kind, KeyError("a"), failures=(OSError,), repeatable=True)
    missing, calls = decorated(kind, NotFound(), repeatable=True)
    with configured_as(failures=1):
        for _ in range(2):
            with pytest.raises(KeyError):
                await ask()
            with pytest.raises(NotFound):
                await missing()
        assert guard_of("billing").breaker.state == "closed"
    assert len(calls) == 2


@KINDS
async def test_it_is_left_alone_after_so_many_failures(kind: str, configured_as: Any) -> None:
    ask, calls = decorated(kind, OSError())
    with configured_as(failures=2):
        for _ in range(2):
            with pytest.raises(CallFailed):
                await ask()
        with pytest.raises(CircuitOpen):
            await ask()
    assert len(calls) == 2


async def test_a_function_that_takes_too_long_is_given_up(configured_as: Any) -> None:
    @resilient("billing")
    async def ask() -> None:
        await asyncio.sleep(10)

    started = time.monotonic()
    with configured_as(), pytest.raises(CallFailed) as failed:
        await ask()
    assert time.monotonic() - started < 9
    assert failed.value.reason == "TimeoutError"


def test_threads_wait_for_a_place_so_long(configured_as: Any) -> None:
    @resilient("billing")
    def ask(_: int) -> str:
        time.sleep(0.5)
        return "answered"

    def outcome(number: int) -> str:
        try:
            return ask(number)
        except CallsExhausted:
            return "exhausted"

    with configured_as(concurrency=2, patience=0.05), ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(outcome, range(8)))
    assert sorted(outcomes) == ["answered"] * 2 + ["exhausted"] * 6


async def test_the_deadline_keeps_a_thread_from_trying_again(configured_as: Any) -> None:
    calls: list[int] = []

    @resilient("billing", repeatable=True)
    def ask() -> None:
        calls.append(1)
        time.sleep(0.15)
        raise OSError

    with configured_as(deadline=0.2, attempts=10), pytest.raises(CallFailed):
        await asyncio.to_thread(ask)
    assert len(calls) == 2


async def test_an_object_that_is_called_with_await_is_guarded_so(configured_as: Any) -> None:
    class Asking:
        async def __call__(self) -> int:
            await asyncio.sleep(0)
            return 42

    with configured_as():
        assert await resilient("billing")(Asking())() == 42


async def test_the_function_keeps_its_name_and_its_words() -> None:
    @resilient("billing")
    async def ask() -> None:
        """Ask."""

    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")


async def test_outside_of_a_running_service_the_defaults_hold() -> None:
    @resilient("billing")
    async def ask() -> int:
        return 42

    assert await ask() == 42
    assert guard_of("billing").policy.attempts == 3
