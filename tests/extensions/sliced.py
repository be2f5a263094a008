"""A rendered service to which its owner has added one of the slices in `slices/`."""

from pathlib import Path

from tests.live.conftest import Make
from tests.live.service import Rendered

SLICES = Path(__file__).parent / "slices"


def sliced(rendered: Make, name: str, **answers: object) -> Rendered:
    """The service, a copy of its own."""
    made = rendered(copy=True, sample=False, **answers)
    features = made.root / "app" / "features"
    (features / f"{name}.py").write_text((SLICES / f"{name}.py").read_text())
    listed = (features / "__init__.py").read_text()
    changed = listed.replace("    return []", f"    return [{name}.component()]")
    changed = changed.replace("from app.core.settings", f"from app.features import {name}\nfrom app.core.settings")
    assert f"return [{name}.component()]" in changed
    (features / "__init__.py").write_text(changed)
    return made
