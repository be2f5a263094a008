"""The jobs that `@job` declares, their events and their settings."""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Concatenate, Generic, NamedTuple, ParamSpec, get_type_hints
from urllib.parse import urlsplit

from pydantic import Field, TypeAdapter, ValidationError

from app.core.component import State
from app.core.data.engine import DatabaseSettings
from app.core.errors import ConfigurationInvalid
from app.core.settings import Group, Settings, address, taken_by
from app.core.telemetry import describe

P = ParamSpec("P")
Function = Callable[Concatenate[State, P], Awaitable[object]]

SCHEMES = {"redis", "rediss", "postgres", "postgresql"}
EXAMPLE = "redis://host:6379/0 or postgresql://host/name"
MINUTES = (0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0, 1800.0)

_declared: dict[str, "Job[Any]"] = {}


def _client(url: str) -> object:
    if url.startswith("redis"):  # each import takes 0.4 s
        from redis.asyncio import ConnectionPool

        if urlsplit(url).path.strip("/").lstrip("0123456789"):  # the client would take database 0
            raise ValueError("no number")
        pool: Any = ConnectionPool.from_url(url)
        return pool.make_connection()
    from psycopg.conninfo import conninfo_to_dict

    return conninfo_to_dict(url)


class WorkerSettings(Group):
    """The settings of the queue and of its workers."""

    group: ClassVar[str] = "worker"
    url: Annotated[str | None, address(SCHEMES, EXAMPLE), taken_by(_client)] = Field(
        None,
        repr=False,
        description="The queue: redis://:password@host:6379/0 or postgresql://user:password@host:5432/name; "
        "unset: the service's PostgreSQL.",
    )
    queue: str | None = Field(None, description="The queue's name; unset: the service's name.")
    concurrency: int = Field(10, ge=1, description="Parallel jobs of a worker.")
    heartbeat: int = Field(30, ge=2, description="Seconds of silence until the jobs of a worker are repeated.")
    shutdown_timeout: int = Field(25, ge=0, description="Seconds for jobs to finish on a stop.")
    keep_failed: int = Field(604_800, ge=1, description="Seconds that a failed job is kept.")


def own_database(settings: Settings) -> str | None:
    """Return the URL of the service's database as libpq reads it, or None if it is not PostgreSQL.

    Raises:
        ConfigurationInvalid: it is the URL of PgBouncer, and the queue needs locks of a session.
    """
    scheme, _, rest = settings.of(DatabaseSettings).url.partition("://")
    if not scheme.startswith("postgres"):
        return None
    if "pgbouncer=true" in rest.partition("?")[2]:
        raise ConfigurationInvalid(
            "WORKER__URL: is required if DATABASE__URL is of PgBouncer (pgbouncer=true): set it to the server's own URL"
        )
    return f"postgresql://{rest}"


class JobFailed(NamedTuple):
    """A try of a job has raised an error. `retried`: the job is tried again."""

    job: str
    error: BaseException
    attempt: int
    retried: bool


class JobFinished(NamedTuple):
    """A job has ended. `outcome` is complete, failed or aborted; `duration` in seconds, retries included."""

    job: str
    outcome: str
    duration: float
    attempts: int = 1


class JobsWaiting(NamedTuple):
    """The number of jobs that are due and wait for a worker."""

    queue: str
    level: float


class OldestJob(NamedTuple):
    """The seconds since the oldest job that waits was due."""

    queue: str
    level: float


class WorkersSeen(NamedTuple):
    """The number of workers that have given a sign of themselves in the last minute."""

    queue: str
    level: float


describe(JobsWaiting, gauge=("jobs_waiting", "Jobs that are due and wait for a worker.", {"queue": "queue"}))
describe(OldestJob, gauge=("jobs_oldest_seconds", "Time since the oldest waiting job was due.", {"queue": "queue"}))
describe(WorkersSeen, gauge=("jobs_workers", "Workers of the queue.", {"queue": "queue"}))
describe(JobFailed, failure=("job", "job"))
describe(
    JobFinished,
    log=("info", "job finished"),
    counter=("jobs_total", "Background jobs that ended.", {"name": "job", "outcome": "outcome"}),
    histogram=("job_duration_seconds", "Time of a job, retries included.", {"name": "job"}, MINUTES),
)


class ArgumentsUnreadable(ValueError):
    """The stored arguments do not fit the function: another release has enqueued the job."""


class Call(NamedTuple):
    """A job with its arguments. As an event it says that the job was enqueued."""

    job: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Job(Generic[P]):
    """A function that a worker runs. Called directly, it runs at once: `await send_receipt(state, order_id=7)`."""

    function: Function[P]
    tries: int
    timeout: float
    delay: float
    longest_delay: float
    every: str | None

    @property
    def name(self) -> str:
        """The name in the queue, in logs and in metrics."""
        return self.function.__name__

    def __call__(self, state: State, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[object]:
        return self.function(state, *args, **kwargs)

    def later(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """Return the job with these arguments, for `jobs.enqueue`. The signature's types say how they are stored."""
        given = inspect.signature(self.function).bind(None, *args, **kwargs).arguments
        return Call(self.name, {name: self._types[name].dump_python(given[name], mode="json") for name in [*given][1:]})

    async def run(self, state: State, arguments: Mapping[str, Any]) -> None:
        """Run the function with stored arguments. An error about these names them, and never shows their values."""
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
    *,
    tries: int = 5,
    timeout: float = 60.0,
    delay: float = 30.0,
    longest_delay: float = 600.0,
    every: str | None = None,
) -> Callable[[Function[P]], Job[P]]:
    """Declare a job: an async function of the open service's state (`state["database"]`) and of its own arguments.

    By default its tries take about four minutes.

    Args:
        tries: the most tries; one that ends with its worker counts too.
        timeout: seconds that a try may take.
        delay: seconds before the second try, on average half of it; twice as many before each further one.
        longest_delay: the longest delay in seconds.
        every: a cron schedule in UTC by which the job starts automatically: `*/5 * * * *`.

    Raises:
        ValueError: `every` is not a schedule or the job needs arguments, or another job has this name.
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
    return _declared


def _check_schedule(job: Job[Any], every: str) -> None:
    from croniter import croniter  # type: ignore[import-untyped]  # 0.1 s, which a service without schedules saves

    if not croniter.is_valid(every):
        raise ValueError(f"job {job.name}: {every!r} is not a schedule: write one like */5 * * * *")
    own = [*inspect.signature(job.function).parameters.values()][1:]
    if any(parameter.default is parameter.empty for parameter in own):
        raise ValueError(f"job {job.name} starts automatically, so its arguments need defaults")
