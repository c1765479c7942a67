"""What ``ccx down`` does. Works after any crash: it looks at what is there, not at what should be."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network

from ccx.clouds.local.teardown import teardown
from ccx.embedded import host_names, namespace, outside, record
from ccx.embedded.layout import Layout, remembered
from ccx.embedded.processes import Identity
from ccx.errors import NotFound

_PATIENCE = 60.0


async def down(instance: str, *, purge: bool, say: Callable[[str], None]) -> None:
    """Stops the control plane; with ``purge`` removes the instance and all that it made. Idempotent with ``purge``."""
    layout = remembered(instance) or (_remains(instance) if purge else None)
    if layout is None:
        if purge:
            say(f"there is nothing of an instance {instance!r} on this machine")
            return
        raise NotFound(f"there is no instance {instance!r} on this machine", remedy="See the folders of /etc/ccx")
    running = record.running(layout.run)
    if running is not None:
        await _stop(running.supervisor)
    await host_names.forget(layout)
    ended = await namespace.stop_leftovers(layout, patience=5)
    await outside.remove(layout)
    if running is None and not ended and not purge:
        say(f"instance {instance!r} was not running")
    else:
        say(f"instance {instance!r} has stopped")
    if purge:
        await _purge(layout)
        say(f"instance {instance!r} is removed")


def _remains(instance: str) -> Layout | None:
    """An instance whose making was broken off before it was written down."""
    layout = Layout(instance, IPv4Network("10.224.0.0/20"), "")  # no name of anything depends on the network
    left = (layout.etc, layout.var, layout.run, layout.namespace_file)
    return layout if any(path.exists() for path in left) else None


async def _stop(supervisor: Identity) -> None:
    with suppress(ProcessLookupError):
        os.kill(supervisor.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(_PATIENCE):
            while supervisor.alive:  # noqa: ASYNC110 - not our child: nothing tells when it ends
                await asyncio.sleep(0.05)
    except TimeoutError:
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGKILL)


async def _purge(layout: Layout) -> None:
    await teardown(layout.instance)
    await namespace.remove(layout)
    for folder in (layout.run, layout.var, layout.etc):
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
