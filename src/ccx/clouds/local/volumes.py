"""Volumes: sparse image files with a file system in them, mounted by the machine that they are attached to."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ccx.clouds.base import Unavailable
from ccx.clouds.local.shell import run

_RELEASED_WITHIN_S = 10.0
_POLL_S = 0.02


async def create(file: Path, size: int) -> None:
    """Makes the image, ``size`` GiB, unless it is there. Takes next to no space before data is written."""
    partial = file.with_suffix(".new")
    if not await asyncio.to_thread(_allocate, file, partial, size << 30):
        return
    await run("mkfs.ext4", "-q", "-F", "-m", "0", "-L", "ccx-data", str(partial))
    partial.rename(file)


def _allocate(file: Path, partial: Path, size: int) -> bool:
    """False when the volume is there already."""
    if file.exists():
        return False
    partial.unlink(missing_ok=True)
    with partial.open("wb") as image:
        os.fchmod(image.fileno(), 0o600)
        image.truncate(size)
    return True


def delete(file: Path) -> None:
    file.unlink(missing_ok=True)
    file.with_suffix(".new").unlink(missing_ok=True)


async def released(file: Path) -> None:
    """Waits until the kernel has let go of the image, a moment after the machine that had it. Raises Unavailable."""
    deadline = asyncio.get_running_loop().time() + _RELEASED_WITHIN_S
    while loop_devices(file):
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"volume {file.stem} is still in use by {', '.join(loop_devices(file))}")
        await asyncio.sleep(_POLL_S)


def loop_devices(below: Path) -> list[str]:
    """Loop devices whose image is that file, or lies in that folder."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            image = Path(backing.read_text().rstrip("\n").removesuffix(" (deleted)"))
        except OSError:  # detached meanwhile
            continue
        if image == below or below in image.parents:
            found.append(f"/dev/{backing.parent.parent.name}")
    return found


def occupied(file: Path) -> int:
    """Bytes that the image takes on the host's disk."""
    return os.stat(file).st_blocks * 512 if file.exists() else 0
