"""`@resilient("billing")`: any function that calls another service gets its guard, with and without `async`."""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast

from app.core.errors import ServiceError
from app.extensions.outbound import registry
from app.extensions.outbound.guard import Failure

P = ParamSpec("P")
R = TypeVar("R")


def resilient(
    service: str, *, failures: tuple[type[Exception], ...] = (Exception,), repeatable: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Guard a function by the settings of a service.

    Args:
        service: the name of the service, as in `OUTBOUND__SERVICES__BILLING__...`.
        failures: errors that mean that the service failed; others, and this service's own below 500, pass through.
        repeatable: whether the function may be called again where it fails.
    """

    def judge(error: Exception) -> Failure | None:
        own = isinstance(error, ServiceError) and error.status < 500
        return Failure(type(error).__name__) if isinstance(error, failures) and not own else None

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = getattr(function, "__name__", type(function).__name__)

        async def guarded(*args: P.args, **kwargs: P.kwargs) -> Any:
            made = cast(Callable[P, Any], function)
            guard = registry.guard(service)
            return await guard.call(lambda: made(*args, **kwargs), method=name, repeatable=repeatable, judge=judge)

        def guarded_thread(*args: P.args, **kwargs: P.kwargs) -> R:
            guard = registry.guard(service)
            return guard.call_from_thread(
                lambda: function(*args, **kwargs), method=name, repeatable=repeatable, judge=judge
            )

        is_async = iscoroutinefunction(function) or iscoroutinefunction(type(function).__call__)
        return cast(Callable[P, R], wraps(function)(guarded if is_async else guarded_thread))

    return decorate
