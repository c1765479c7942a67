"""A control plane for one benchmark: an instance of its own name, removed with all that it made."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.machine import Installed, free_port
from tests.e2e.machine import run as run
from tests.e2e.tenant import Tenant, signed_up

from ccx.settings import Paths


@asynccontextmanager
async def installed(what: str, *options: str, store_in_memory: bool = False) -> AsyncIterator[Installed]:
    """``ccx up`` of a new instance; ``options`` go to it. Its store's objects can be kept off the disk."""
    found = Installed(f"b{what}-{os.getpid()}", f"127.0.0.1:{free_port()}")
    task = asyncio.current_task()
    assert task is not None
    # Told to end (`timeout` does so), it still removes what it made.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as after:
        if store_in_memory:
            await after.enter_async_context(_in_memory(Paths.of(found.instance).var / "s3"))
        after.push_async_callback(found.down, "--purge")
        await found.up(*options)
        yield found


@asynccontextmanager
async def _in_memory(folder: Path) -> AsyncIterator[None]:
    """What is written there takes nothing of the disk's time."""
    await run("mount", "--mkdir", "-t", "tmpfs", "tmpfs", folder)
    try:
        yield
    finally:
        await run("umount", folder)
        await run("rmdir", folder, folder.parent)


@asynccontextmanager
async def tenant(what: str, *options: str, store_in_memory: bool = False) -> AsyncIterator[Tenant]:
    """A user of a new instance."""
    async with (
        installed(what, *options, store_in_memory=store_in_memory) as running, signed_up(running) as user,
    ):  # fmt: skip
        yield user
