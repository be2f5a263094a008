"""Declaring jobs: what `@job` makes of a function."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Concatenate, Generic, NamedTuple, ParamSpec, get_type_hints

from pydantic import TypeAdapter, ValidationError

from app.core.component import State

P = ParamSpec("P")
Function = Callable[Concatenate[State, P], Awaitable[object]]

_declared: dict[str, "Job[Any]"] = {}


class ArgumentsUnreadable(ValueError):
    """Stored arguments do not fit the function: another release has enqueued the job."""


class Call(NamedTuple):
    """A job with the arguments that it is to have. As an event it tells that the job was enqueued."""

    job: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Job(Generic[P]):
    """A function that a worker carries out. Called itself, it runs at once: `await send_receipt(state, order_id=7)`."""

    function: Function[P]
    tries: int
    timeout: float
    delay: float
    longest_delay: float
    every: str | None

    @property
    def name(self) -> str:
        """What it is called in the queue, in logs and in metrics."""
        return self.function.__name__

    def __call__(self, state: State, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[object]:
        """Run it here and now."""
        return self.function(state, *args, **kwargs)

    def later(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The job with these arguments, for `jobs.enqueue`. They are stored as JSON, by the types in the signature."""
        given = inspect.signature(self.function).bind(None, *args, **kwargs).arguments
        return Call(self.name, {name: self._types[name].dump_python(given[name], mode="json") for name in [*given][1:]})

    async def run(self, state: State, arguments: Mapping[str, Any]) -> None:
        """Run it with arguments as they were stored.

        Raises:
            ArgumentsUnreadable: they do not fit. The message names the arguments, and never their values.
        """
        try:
            inspect.signature(self.function).bind(None, **arguments)
        except TypeError as error:
            raise ArgumentsUnreadable(self._misfit(str(error))) from None
        read = {name: self._read(name, value) for name, value in arguments.items()}
        await self.function(state, **read)  # type: ignore[call-arg]  # bound above

    def _read(self, name: str, value: object) -> Any:
        try:
            return self._types[name].validate_python(value)
        except ValidationError as error:
            told = [".".join(map(str, [name, *each["loc"]])) + f": {each['msg']}" for each in error.errors()]
            raise ArgumentsUnreadable(self._misfit("; ".join(told))) from None

    def _misfit(self, cause: str) -> str:
        return f"job {self.name} cannot read its stored arguments, did another release enqueue it? {cause}"

    @cached_property
    def _types(self) -> dict[str, TypeAdapter[Any]]:
        hints = get_type_hints(self.function, include_extras=True)
        return {name: TypeAdapter(hints[name]) for name in [*inspect.signature(self.function).parameters][1:]}


def job(
    *, tries: int = 5, timeout: float = 60.0, delay: float = 1.0, longest_delay: float = 600.0, every: str | None = None
) -> Callable[[Function[P]], Job[P]]:
    """Declare a job: an async function of the open service's state (`state["database"]`) and of arguments of its own.

    Args:
        tries: how often it is tried at most; a worker that dies over it counts too.
        timeout: seconds that a try may take.
        delay: seconds before the second try, on average half of it; twice as many before each further one.
        longest_delay: seconds that the delay grows to at most.
        every: when it begins by itself, as cron writes it, in UTC: `*/5 * * * *`.

    Raises:
        ValueError: `every` is no such schedule or the job needs arguments, or there is another job of this name.
    """

    def declare(function: Function[P]) -> Job[P]:
        made = Job(function, tries, timeout, delay, longest_delay, every)
        if every is not None:
            _check_schedule(made, every)
        before = _declared.get(made.name)
        if before is not None and before.function.__module__ != function.__module__:
            raise ValueError(f"there is another job called {made.name}, in {before.function.__module__}: rename one")
        _declared[made.name] = made
        return made

    return declare


def declared() -> Mapping[str, Job[Any]]:
    """Every job by its name."""
    return _declared


def _check_schedule(job: Job[Any], every: str) -> None:
    from croniter import croniter  # type: ignore[import-untyped]  # 0.1 s, which a service without schedules saves

    if not croniter.is_valid(every):
        raise ValueError(f"job {job.name}: {every!r} is no schedule, write one like */5 * * * *")
    own = [*inspect.signature(job.function).parameters.values()][1:]
    if any(parameter.default is parameter.empty for parameter in own):
        raise ValueError(f"job {job.name} begins by itself, so its arguments need defaults")
