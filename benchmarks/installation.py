"""A control plane for one benchmark: an instance of its own name, removed with all that it made."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.machine import Installed, free_port
from tests.e2e.machine import run as run
from tests.e2e.tenant import Tenant, signed_up


@asynccontextmanager
async def installed(what: str, *options: str) -> AsyncIterator[Installed]:
    """``ccx up`` of a new instance; ``options`` go to it."""
    found = Installed(f"b{what}-{os.getpid()}", f"127.0.0.1:{free_port()}")
    task = asyncio.current_task()
    assert task is not None
    # Told to end (`timeout` does so), it still removes what it made.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await found.up(*options)
        yield found
    finally:
        await found.down("--purge")


@asynccontextmanager
async def tenant(what: str, *options: str) -> AsyncIterator[Tenant]:
    """A user of a new instance."""
    async with installed(what, *options) as running, signed_up(running) as user:
        yield user
