"""The sinks of the extensions' own tests, for tests of a generated service."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from tests.live.conftest import Make
from tests.live.service import Rendered
from tests.manifests import EXTENSIONS

SLICE = Path(__file__).parent / "slices" / "telling.py"


def shipped(name: str) -> Any:
    """The module `sink` of an extension's tests."""
    path = EXTENSIONS / name / "tests" / "sink.py"
    spec = spec_from_file_location(f"{name}_sink", path)
    assert spec
    assert spec.loader
    module: ModuleType = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def telling(rendered: Make, *extensions: str, **answers: Any) -> Rendered:
    """A service with the sample, whose owner has added a slice that fails when it is asked to."""
    made = rendered(copy=True, extensions=list(extensions), **answers)
    slices = made.root / "app" / "features"
    (slices / "telling.py").write_text(SLICE.read_text())
    listed = (slices / "__init__.py").read_text()
    assert "[orders.component()]" in listed
    listed = listed.replace("features import orders", "features import orders, telling")
    (slices / "__init__.py").write_text(
        listed.replace("[orders.component()]", "[orders.component(), telling.component()]")
    )
    return made
