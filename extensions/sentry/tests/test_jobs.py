"""Background jobs that fail for good are reported, under the ids of the request that they come from."""

from contextvars import copy_context
from typing import NamedTuple

from app.core import context
from app.core.component import Component
from app.core.telemetry import describe, emit
from tests.conftest import Start
from tests.extensions.sentry.conftest import HIDDEN
from tests.extensions.sentry.sink import Sink
from tests.extensions.sentry.test_reports import IDS, TRACE, sent


class JobFailed(NamedTuple):
    """The event of a worker."""

    job: str
    error: BaseException
    attempt: int
    retried: bool


describe(JobFailed, failure=("job", "job"))


def send_receipt() -> None:
    """A job that fails, with words that hold what it was given."""
    raise RuntimeError(f"the link was https://ada:{HIDDEN}@example.com\nthe argument was {HIDDEN}")


def fail(*, retried: bool) -> None:
    """Emit the failure of a job, as a worker does."""
    request = context.RequestContext()
    request.identify(*(IDS[header].encode() for header in ("X-Correlation-ID", "traceparent")))
    request.principal = "ada"
    context.enter(request)
    try:
        send_receipt()
    except RuntimeError as error:
        emit(JobFailed("send_receipt", error, 5, retried))


async def test_a_job_that_fails_for_good_arrives_with_its_name_its_ids_and_without_arguments(
    sink: Sink, start: Start
) -> None:
    await start(sentry={"dsn": sink.dsn})
    copy_context().run(fail, retried=False)
    (event,) = await sent(sink)
    assert event["transaction"] == "job send_receipt"
    assert event["tags"] == {"job": "send_receipt", "correlation_id": "asked-by-ada", "trace_id": TRACE}
    assert event["user"] == {"id": "ada"}
    assert "request" not in event
    (error,) = event["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "the link was https://ada:[redacted]@example.com")
    assert error["stacktrace"]["frames"][-1]["function"] == "send_receipt"
    assert HIDDEN.encode() not in sink.raw


async def test_a_try_that_is_followed_by_another_one_is_not_sent(sink: Sink, failing: Component, start: Start) -> None:
    service = await start(extra=[failing], sentry={"dsn": sink.dsn})
    copy_context().run(fail, retried=True)
    await service.get("/failing/7")
    (event,) = await sent(sink)  # in the order in which they happened
    assert event["transaction"] == "GET /failing/{number}"
