"""The decorator `@cached`: a function whose results are in the cache of the running service."""

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import cache as once
from functools import wraps
from string import Formatter
from typing import Any, ParamSpec, TypeVar, get_type_hints

from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from app.core.data.engine import READING
from app.extensions.redis.cache import Cache
from app.extensions.redis.keys import key_for

P = ParamSpec("P")
T = TypeVar("T")

_running: list[Cache] = []


@contextmanager
def running(cache: Cache) -> Iterator[None]:
    """Let every cached function use this cache until the block ends."""
    _running.append(cache)
    try:
        yield
    finally:
        _running.remove(cache)


def cached(
    *, ttl: float, key: str, tags: Sequence[str] = ()
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """Cache the results of an async function. Outside a running service the function is simply called.

    It is also simply called if an argument is a transaction, whose data may never be committed, or be older than the
    last invalidation.

    Args:
        ttl: seconds.
        key: the name of the result, with arguments: `"product:{product_id}"`. It needs every argument that the result
            depends on, and also the caller's identity.
        tags: names of the same form, under which results are invalidated together.

    Raises:
        TypeError: the key names a missing argument, or the function has no return annotation. At a call: an argument
            has no text for a key.
    """

    def decorate(function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        signature = inspect.signature(function)
        used = sorted({name for text in (key, *tags) for _, name, _, _ in Formatter().parse(text) if name is not None})
        where = getattr(function, "__qualname__", repr(function))
        for name in used:
            if name not in signature.parameters:
                raise TypeError(f"{where} has no argument {name!r}: name those of {signature} in the key and the tags")
        if signature.return_annotation is signature.empty:
            raise TypeError(f"{where} has no return annotation: add it, so that results can be read from JSON")

        @once
        def kind() -> TypeAdapter[T]:  # at the first call, when every name in the annotation is defined
            return TypeAdapter(get_type_hints(function, include_extras=True)["return"])

        @wraps(function)
        async def from_cache(*args: P.args, **kwargs: P.kwargs) -> T:
            if not _running:
                return await function(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            if any(map(_in_transaction, bound.arguments.values())):
                return await function(*args, **kwargs)
            values = {name: bound.arguments[name] for name in used}
            return await _running[-1].get(
                key_for(key, **values),
                lambda: function(*args, **kwargs),
                ttl=ttl,
                kind=kind(),
                tags=[key_for(tag, **values) for tag in tags],
            )

        return from_cache

    return decorate


def _in_transaction(argument: object) -> bool:
    if isinstance(argument, AsyncSession):
        return argument.in_transaction()
    connection = argument.sync_connection if isinstance(argument, AsyncConnection) else None
    if connection is None or not connection.in_transaction():
        return False
    options = connection.get_execution_options()  # each statement of `database.read()` sees the last commit
    return not READING.items() <= options.items() or bool(options.get("snapshot"))
