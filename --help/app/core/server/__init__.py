"""The server process: where it listens, what it accepts from a connection, and how it stops."""

import warnings
from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    """Return a name of the module that `app.core.server` was up to 0.3."""
    serve = import_module("app.core.server.serve")
    if name.startswith("_") or not hasattr(serve, name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"app.core.server is now app.core.server.serve: import {name} from there", DeprecationWarning, 2)
    return getattr(serve, name)
