"""The core of every service. Features import the modules in this folder; its subfolders are internals."""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "access": "observability.access_log",
    "answers": "http.response_format",
    "callers": "http.security",
    "compression": "http.compression",
    "database_file": "data.connection",
    "decimals": "http.endpoints",
    "endpoints": "http.endpoints",
    "engine": "data.engine",
    "events": "observability.access_log",
    "exact_types": "data.exact_types",
    "faults": "data.pool",
    "lifecycle": "http.lifecycle",
    "limits": "http.limits",
    "logging": "observability.logging",
    "migrations": "data.migrations",
    "outer": "http.request_middleware",
    "pool": "data.pool",
    "problems": "http.problems",
    "protocol": "server.protocol",
    "redaction": "observability.redaction",
    "security": "http.security",
    "service": "http.application",
    "transactions": "data.transactions",
}
"""Modules that were in this folder up to 0.3: their old import paths work until 0.6."""


class _MovedModules:
    """Imports a module of `MOVED` from its new place. A subclass of `importlib.abc.Loader` would cost 20 ms more."""

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Return a spec for the old name of a moved module."""
        name = fullname.removeprefix(f"{__name__}.")
        return ModuleSpec(fullname, self) if name != fullname and name in MOVED else None  # type: ignore[arg-type]

    def create_module(self, _: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the moved module in place of the one that the import has created."""
        new = f"{__name__}.{MOVED[module.__name__.removeprefix(f'{__name__}.')]}"
        warnings.warn(f"{module.__name__} is now {new}: change the import", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = import_module(new)


sys.meta_path.append(_MovedModules())
