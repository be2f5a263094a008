"""Overlays, which an owner deploys with: never the template's, whatever an update or a toggle brings."""

import subprocess
from pathlib import Path

from copier import VcsRef

from tests.delivery.cluster import invalid, objects
from tests.delivery.manifests import wrong
from tests.update.conftest import Made
from tests.update.next_release import LATER
from tests.update.services import commit, conflicts, files, update


def overlay(root: Path) -> dict[str, tuple[bytes, bool]]:
    """The owner's files below deploy/."""
    return {path: content for path, content in files(root).items() if path.startswith("deploy/")}


def test_an_overlay_outlives_updates_and_toggles(service: Made) -> None:
    root = service(database="postgres", extensions=["prometheus"], delivery=["docker", "kubernetes"])
    given = ["name=live", "host=orders.example.org", "image=registry.example.org/orders:1.0.0", "gateway=10.0.3.0/24"]
    subprocess.run(["make", "--silent", "-C", root, "overlay", *given], check=True, capture_output=True)
    kustomization = root / "deploy" / "live" / "kustomization.yaml"
    kustomization.write_text(kustomization.read_text() + "      - LOG__LEVEL=WARNING\n")
    commit(root)
    mine = overlay(root)
    assert len(mine) == 3

    update(root, LATER)
    commit(root)
    assert conflicts(root) == []
    assert overlay(root) == mine
    found = objects(root / "deploy" / "live")
    assert list(invalid(found)) + wrong(found) == []
    assert any(one.get("data", {}).get("LOG__LEVEL") == "WARNING" for one in found)

    update(root, VcsRef.CURRENT, delivery=["docker"])
    commit(root)
    assert not (root / "ops" / "kubernetes").exists()
    assert overlay(root) == mine

    update(root, VcsRef.CURRENT, delivery=["docker", "kubernetes"])
    assert overlay(root) == mine
    assert objects(root / "deploy" / "live") == found
