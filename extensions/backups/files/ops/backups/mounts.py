"""Which folders cannot be renamed: mount points, and those in a folder that this user cannot write to."""

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
"""Linux names the mount points in it: https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html."""


def is_held(path: Path) -> bool:
    """Whether something is there and has to stay."""
    return path.exists() and (_is_mounted(path) or not os.access(path.parent, os.W_OK))


def _is_mounted(path: Path) -> bool:
    """Two volumes may be folders of one file system, so that their devices do not tell them apart."""
    if path.is_mount() or not MOUNTS.exists():
        return path.is_mount()
    written = re.sub(r"[ \t\n\\]", lambda found: f"\\{ord(found[0]):03o}", os.path.realpath(path))
    return written in {line.split(" ")[4] for line in MOUNTS.read_text().splitlines()}
