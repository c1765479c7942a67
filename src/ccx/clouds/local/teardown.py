"""``python -m ccx.clouds.local.teardown --instance X``: removes an instance's local cloud, whatever its state.

It looks at what is there, not at records, so it works after any crash, with the daemon alive or not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path

from ccx.clouds.base import Unavailable
from ccx.clouds.local import cgroups, network, volumes
from ccx.clouds.local.place import Place
from ccx.clouds.local.processes import started
from ccx.clouds.local.shell import run
from ccx.errors import CcxError

_ENDS_WITHIN_S = 10.0
_POLL_S = 0.02


async def teardown(instance: str) -> None:
    """Ends every process and removes every mount, loop device, namespace, link, route, volume and record. Repeatable.

    Raises Unavailable naming what does not go away. The control plane's own namespace and folders are not touched.
    """
    place = Place(instance, IPv4Network("10.224.0.0/20"))  # no name of anything depends on the network
    await _end_daemon(place)
    await _end_processes(place)
    await _unmount(place)
    await network.remove_all(place)
    for folder in (place.var, place.zones):
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    for file in (place.socket, place.pid_file):
        file.unlink(missing_ok=True)
    for folder in (place.var.parent, place.run):
        with suppress(OSError):  # the control plane's, unless empty
            folder.rmdir()
    cgroups.remove_instance(instance)


async def _end_daemon(place: Place) -> None:
    """First of all, or it would notice what we do."""
    for pid in _daemons(place.instance):
        began = started(pid)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        await _until(lambda pid=pid, began=began: started(pid) != began, f"process {pid}")


def _daemons(instance: str) -> list[int]:
    wanted = ["ccx.clouds.local.daemon", f"--instance={instance}"]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace").replace("--instance\0", "--instance=")
                if set(wanted) <= set(words.split("\0")):
                    found.append(int(entry.name))
    return found


async def _end_processes(place: Place) -> None:
    """By their control group, from which none can have escaped."""
    group = cgroups.instance_group(place.instance)
    cgroups.kill_below(group)
    await _until(lambda: not cgroups.processes_below(group), f"processes of {group}")


async def _unmount(place: Place) -> None:
    """Machines' mounts ended with them; what is left was made by hand."""
    for point in reversed(_mounts(place.var)):
        await run("umount", "--lazy", point)
    for device in volumes.loop_devices(place.var):
        with suppress(Unavailable):  # on its way already
            await run("losetup", "--detach", device)
    await _until(lambda: not volumes.loop_devices(place.var), f"loop devices below {place.var}")


def _mounts(below: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if Path(point).is_relative_to(below)]


async def _until(condition: object, what: str) -> None:
    assert callable(condition)
    deadline = asyncio.get_running_loop().time() + _ENDS_WITHIN_S
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise Unavailable(f"{what} did not end within {_ENDS_WITHIN_S:.0f} s")
        await asyncio.sleep(_POLL_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="ccx.clouds.local.teardown", description="Removes an instance's local cloud.")
    parser.add_argument("--instance", required=True)
    try:
        asyncio.run(teardown(parser.parse_args().instance))
    except (CcxError, Unavailable, OSError) as error:
        print(f"local cloud: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
