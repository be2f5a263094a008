"""The decorator `@job`: the calls that it makes of a function, and their arguments."""

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from app.core.component import State
from app.core.errors import ConfigurationInvalid
from app.core.settings import Settings
from app.extensions.worker import Call, WorkerSettings, job
from app.extensions.worker.registry import ArgumentsUnreadable


class Line(BaseModel):
    """An argument of a type of our own."""

    sku: str
    price: Decimal


@job()
async def bill(state: State, number: int, on: date, lines: list[Line], note: str = "thanks") -> None:
    """Tells what it was given."""
    state["seen"].append((number, on, lines, note))


ARGUMENTS = (7, date(2026, 1, 31), [Line(sku="a", price=Decimal("1.50"))])


async def test_arguments_come_out_as_they_went_in() -> None:
    call = bill.later(*ARGUMENTS)
    assert call == Call("bill", {"number": 7, "on": "2026-01-31", "lines": [{"sku": "a", "price": "1.50"}]})
    seen: list[Any] = []
    await bill.run({"seen": seen}, call.arguments)
    assert seen == [(*ARGUMENTS, "thanks")]


async def test_a_job_can_be_called_like_the_function_that_it_is() -> None:
    seen: list[Any] = []
    await bill({"seen": seen}, *ARGUMENTS, note="hello")
    assert seen == [(*ARGUMENTS, "hello")]


async def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(TypeError, match="missing a required argument"):
        bill.later(7)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"number": "seven"}, "number: Input should be a valid integer"),
        ({"lines": [{"sku": "a"}]}, "lines.0.price: Field required"),
        ({"total": 1}, "unexpected keyword argument 'total'"),
    ],
)
async def test_stored_arguments_that_do_not_fit_are_refused_with_the_cause(changed: dict[str, Any], cause: str) -> None:
    with pytest.raises(ArgumentsUnreadable, match=rf"job bill cannot read its stored arguments.*{re.escape(cause)}"):
        await bill.run({}, {**bill.later(*ARGUMENTS).arguments, **changed})


@pytest.mark.parametrize("every", ["often", "* * *", "61 * * * *"])
def test_a_schedule_that_is_none_is_refused(every: str) -> None:
    with pytest.raises(ValueError, match=r"job clean: .* is not a schedule"):

        @job(every=every)
        async def clean(state: State) -> None: ...


def test_what_begins_by_itself_has_nobody_to_give_it_arguments() -> None:
    with pytest.raises(ValueError, match="its arguments need defaults"):

        @job(every="0 3 * * *")
        async def clean(state: State, days: int) -> None: ...


def test_two_jobs_of_one_name_are_refused() -> None:
    async def other(state: State) -> None: ...

    other.__name__, other.__module__ = "bill", "app.features.elsewhere"
    with pytest.raises(ValueError, match=f"another job called bill, in {__name__}"):
        job()(other)


@pytest.mark.parametrize(
    "url",
    [
        "redis://:pa55@h/0?foo=bar",
        "redis://:pa55@h/0?ssl_cert_reqs=none",
        "rediss://:pa55@h/0?ssl_cert_reqs=maybe",
        "redis://:pa55@h/first",
        "redis://:pa55@h/0?db=x",
        "postgresql://u:pa55@h/d?foo=1",
    ],
)
def test_a_url_that_the_client_does_not_take_is_refused(url: str, configured: Callable[..., Settings]) -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        configured(worker={"url": url})
    (line,) = caught.value.mistakes
    assert line.startswith("WORKER__URL: ")
    assert "pa55" not in line


@pytest.mark.parametrize("url", ["rediss://u:p%40ss@h:6380/1?ssl_cert_reqs=none", "redis://h?db=3&protocol=2"])
def test_a_url_with_parameters_is_taken(url: str) -> None:
    assert WorkerSettings(url=url).url == url
