"""A control plane for one benchmark: an instance of its own name, removed with all that it made."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.e2e.machine import Installed, free_port
from tests.e2e.machine import run as run
from tests.e2e.tenant import Tenant, signed_up

from ccx.settings import Paths


@asynccontextmanager
async def installed(what: str, *options: str, apart: bool = False) -> AsyncIterator[Installed]:
    """``ccx up`` of a new instance; ``options`` go to it. ``apart``: a node can be :func:`alone`, as on a cloud.

    As if all else were elsewhere: the store's objects are not on the nodes' disk; the store, the control plane and who
    measures leave one processor free, and the store gets what the others leave.
    """
    if apart:
        os.sched_setaffinity(0, _processors()[:-1])
    found = Installed(f"b{what}-{os.getpid()}", f"127.0.0.1:{free_port()}")
    task = asyncio.current_task()
    assert task is not None
    # Told to end (`timeout` does so), it still removes what it made.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with AsyncExitStack() as after:
        objects = Paths.of(found.instance).var / "s3"
        if apart:
            await after.enter_async_context(_in_memory(objects))
        after.push_async_callback(found.down, "--purge")
        await found.up(*options)
        if apart:
            after.enter_context(_with_what_is_left(_process_of(f"-dir={objects}"), f"{found.instance}-store"))
        yield found


def alone(init: int) -> None:
    """A machine of one processor has it to itself, as a cloud's has: whatever runs there now and later."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it ended just now
            if (folder / "ns/pid").readlink() == Path(f"/proc/{init}/ns/pid").readlink():
                for thread in (folder / "task").iterdir():
                    os.sched_setaffinity(int(thread.name), _processors()[-1:])


def _processors() -> list[int]:
    return sorted(os.sched_getaffinity(1))


@asynccontextmanager
async def _in_memory(folder: Path) -> AsyncIterator[None]:
    """What is written there takes nothing of the disk's time."""
    await run("mount", "--mkdir", "-t", "tmpfs", "tmpfs", folder)
    try:
        yield
    finally:
        await run("umount", folder)
        await run("rmdir", folder, folder.parent)


def _process_of(argument: str) -> int:
    """The one that was started with it."""
    [found] = [p.parent.name for p in Path("/proc").glob("[0-9]*/cmdline") if argument in _words(p)]
    return int(found)


def _words(cmdline: Path) -> list[str]:
    with suppress(OSError):  # it ended just now
        return cmdline.read_text(errors="replace").split("\0")
    return []


@contextmanager
def _with_what_is_left(process: int, name: str) -> Iterator[None]:
    """Whoever else wants a processor gets it before this one, at once."""
    hierarchy = next(h for h in (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")) if (h / "cgroup.procs").exists())
    group = hierarchy / name
    group.mkdir()
    (group / "cpu.idle").write_text("1")
    (group / "cgroup.procs").write_text(str(process))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            (hierarchy / "cgroup.procs").write_text(str(process))
        group.rmdir()


@asynccontextmanager
async def tenant(what: str, *options: str, apart: bool = False) -> AsyncIterator[Tenant]:
    """A user of a new instance."""
    async with installed(what, *options, apart=apart) as running, signed_up(running) as user:
        yield user
