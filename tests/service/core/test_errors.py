"""The errors that the service knows."""

import subprocess
import sys

import pytest

from app.core import errors
from app.core.errors import ConfigurationInvalid, ServiceError, problems
from app.core.settings import PROJECT

STATUSES = {
    errors.ValidationFailed: 422,
    errors.AuthenticationFailed: 401,
    errors.PermissionDenied: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.RateLimited: 429,
    errors.BusinessRuleViolated: 422,
    errors.ExternalServiceFailed: 502,
    errors.ServiceUnavailable: 503,
}


class HTTPShelfGone(errors.NotFound):
    """The shelf is gone. It burnt."""

    message = "the shelf is gone"


class ShelfFull(errors.NotFound):
    """The shelf is full."""


class Renamed(errors.NotFound):
    code = "shelf_empty"


@pytest.mark.parametrize(("error", "status"), STATUSES.items(), ids=lambda value: getattr(value, "__name__", None))
def test_each_base_error_has_its_status(error: type[ServiceError], status: int) -> None:
    assert (error.status, issubclass(error, ServiceError)) == (status, True)


def test_no_two_errors_say_the_same() -> None:
    known = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, ServiceError)]
    assert len({error.code for error in known}) == len(known)


def test_importing_the_errors_imports_neither_the_server_nor_the_database() -> None:
    script = "import sys, app.core.errors; print({'fastapi', 'starlette', 'uvicorn', 'sqlalchemy'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=PROJECT)
    assert done.stdout == "set()\n"


def test_each_error_of_the_template_states_its_code() -> None:
    import app.main  # noqa: F401  # so that every module with errors is imported

    found = [ServiceError]
    for error in found:
        found += error.__subclasses__()
    ours = [error for error in found if error.__module__.startswith(("app.core.", "app.extensions."))]
    assert [error.__qualname__ for error in ours if "code" not in vars(error)] == []


def test_a_code_stays_when_its_class_is_renamed() -> None:
    assert (Renamed.code, Renamed.title) == ("shelf_empty", "Shelf empty")


def test_an_error_without_a_code_is_called_by_its_name() -> None:
    assert (HTTPShelfGone.code, HTTPShelfGone.title) == ("http_shelf_gone", "Http shelf gone")
    assert HTTPShelfGone().message == "the shelf is gone"


def test_an_error_takes_a_message_a_field_details_and_headers() -> None:
    error = errors.Conflict("taken", field="body.name", details={"by": 7}, headers={"X-By": "7"})
    assert str(error) == error.message == "taken"
    assert error.errors == [{"field": "body.name", "message": "taken", "code": "conflict"}]
    assert (error.details, error.headers) == ({"by": 7}, {"X-By": "7"})


def test_unavailable_says_when_to_try_again() -> None:
    assert errors.ServiceUnavailable().headers == {"Retry-After": "1"}
    assert errors.ServiceUnavailable("later", retry_after=30).headers == {"Retry-After": "30"}


def test_the_schema_of_an_error_is_an_entry_for_responses() -> None:
    entry = HTTPShelfGone.schema()[404]
    content = entry["content"]["application/problem+json"]
    assert entry["description"] == "The shelf is gone. It burnt."
    assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
    assert content["examples"]["http_shelf_gone"]["value"]["detail"] == "the shelf is gone"


def test_errors_of_one_status_share_an_entry() -> None:
    answers = problems(HTTPShelfGone, ShelfFull, errors.Conflict)
    assert list(answers) == [404, 409]
    assert list(answers[404]["content"]["application/problem+json"]["examples"]) == ["http_shelf_gone", "shelf_full"]
    assert answers[404]["description"] == "The shelf is gone. It burnt. The shelf is full."


def test_a_wrong_configuration_holds_one_line_for_each_mistake() -> None:
    error = ConfigurationInvalid("A__B: is required", "C__D: is no port")
    assert error.mistakes == ("A__B: is required", "C__D: is no port")
    assert str(error).splitlines() == list(error.mistakes)
