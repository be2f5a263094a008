"""The image of a service with everything: what it is built of, and containers of it beside a database."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from tests.delivery import images
from tests.delivery.images import Container
from tests.live.environment import DEFAULT, alone, clean, uv
from tests.render import render

IMAGE = "localhost/groundwork-tests:latest"
SOCKET = "/tmp/server/.s.PGSQL.5432"  # noqa: S108  # in the container, where /tmp is its own
MOST_MEGABYTES = 145
"""The megabytes that everything may add to the base image (row P8)."""
Start = Callable[..., Container]


def context(root: Path) -> Path:
    """The folder that the image is built of: a rendered service, locked."""
    render(root, {"preset": "production", "database": "postgres"})
    command = [uv(), "lock", "--quiet", "--python", DEFAULT]
    locked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, env=clean())
    assert locked.returncode == 0, locked.stderr
    without_digests(root / "Dockerfile")
    return root


def without_digests(path: Path) -> None:
    """Let a file name images by their tags alone: those that tests make have other digests."""
    path.write_text(re.sub("@sha256:[0-9a-f]{64}", "", path.read_text()))


@contextmanager
def built(root: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The file system of the image of a folder, and its configuration. One at a time: the image has one name."""
    images.bases()
    with alone(images.STORE / "service"):
        images.buildah("rmi", "--prune")  # what an earlier run has left
        images.bud(root, IMAGE, "--build-arg=REVISION=0123abc")
        with images.unpacked(IMAGE) as files:
            yield files, images.configuration(IMAGE)


@contextmanager
def starting(files: Path, config: dict[str, Any], url: str, folder: Path) -> Iterator[Start]:
    """Starts containers beside one database, with secrets as files and /data as a volume. The first one migrates."""
    place = Path(url.partition("host=")[2])
    secrets, data = folder / "secrets", folder / "data"
    secrets.mkdir()
    data.mkdir()
    os.chown(data, 1000, 1000)
    (secrets / "DATABASE__URL").write_text(url.replace(str(place), str(Path(SOCKET).parent)))
    (secrets / "AUDIT__KEY").write_text("a-key-that-is-long-enough-for-this")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    folders = {place / Path(SOCKET).name: SOCKET, secrets: "/run/secrets", data: "/data"}
    numbers = count(1)
    with ExitStack() as stack:

        def run(*command: str, **settings: str) -> Container:
            settings = {"AUDIT__PATH": "/data/audit.jsonl", "UPLOADS__DIRECTORY": "/data/uploads"} | settings
            log = folder / f"container-{next(numbers)}.log"
            return stack.enter_context(
                images.running(files, config, log, folders=folders, settings=settings, command=command)
            )

        migrated = run("alembic", "upgrade", "head")
        assert migrated.wait() == 0, migrated.log.read_text()
        yield run


def own_megabytes() -> tuple[float, float]:
    """Return the megabytes of the base on the disk, and those that everything adds to it."""
    base = images.size(images.PYTHON)
    return base, images.size(IMAGE) - base
