"""How much room there is on a node's volume."""

from __future__ import annotations

import os


def room(path: str) -> dict[str, int]:
    """Bytes of the file system that holds ``path``, and how many of them anybody may still use."""
    found = os.statvfs(path)
    return {"size": found.f_blocks * found.f_frsize, "free": found.f_bavail * found.f_frsize}
