"""The control plane's network namespace: made once, joined by every part, its egress decided by the kernel."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ccx.embedded import processes
from ccx.embedded.layout import Layout
from ccx.embedded.shell import run
from ccx.errors import CcxError

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_BACKLOG = 512
_PROBE_S = 2.0
_OUTSIDE_S = 5.0
_KILLED_S = 15.0


async def ensure(layout: Layout) -> None:
    """Makes the namespace where it is missing. Everything in it may go on running."""
    if not _is_namespace(layout.namespace_file):
        layout.namespace_file.unlink(missing_ok=True)  # an empty file, as a reboot leaves it
        await run("ip", "netns", "add", layout.namespace)
    await run("ip", "-n", layout.namespace, "link", "set", "lo", "up")


async def enforce(layout: Layout, rules: Path) -> None:
    """Loads the plan's rules into the namespace's kernel tables, in place of earlier ones, all at once."""
    await nft(layout, "-f", str(rules))


async def nft(layout: Layout, *arguments: str, stdin: str | None = None) -> str:
    """Runs ``nft`` on the namespace's kernel tables. Raises :class:`ccx.embedded.shell.ToolFailed`."""
    return await run("ip", "netns", "exec", layout.namespace, "nft", *arguments, stdin=stdin)


async def remove(layout: Layout) -> None:
    """Removes the namespace, and with it the addresses, links and rules inside."""
    if _is_namespace(layout.namespace_file):
        await run("ip", "netns", "delete", layout.namespace)
    layout.namespace_file.unlink(missing_ok=True)


def listening_socket(address: tuple[str, int], namespace_file: Path | None = None) -> socket.socket:
    """A TCP socket that listens on ``address``, in another network namespace when that is given. Raises OSError.

    A socket belongs for ever to the namespace that it was made in, whoever uses it later.
    """
    made: list[socket.socket | OSError] = []

    def listen() -> None:
        try:
            if namespace_file is not None:
                _join(namespace_file)
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            made.append(socket.create_server(address, family=family, backlog=_BACKLOG))
        except OSError as error:
            made.append(error)

    _in_a_thread(listen)
    if isinstance(result := made[0], OSError):
        raise result
    return result


async def answers(layout: Layout, port: int) -> bool:
    """Whether something accepts connections on the namespace's loopback at ``port``."""
    try:
        (await _connect(layout, port)).close()
    except (OSError, TimeoutError):
        return False
    return True


async def connection_error(address: tuple[str, int], namespace_file: Path | None = None) -> str | None:
    """Why no TCP connection to ``address`` can be made; None: it can. A name is looked up by this machine.

    With a ``namespace_file``, from that network namespace. Gives up after some seconds.
    """
    made: list[socket.socket] = []

    def create() -> None:
        if namespace_file is not None:
            _join(namespace_file)
        made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(*address, family=socket.AF_INET, type=socket.SOCK_STREAM)
        _in_a_thread(create)
        with made[0] as connection:
            connection.setblocking(False)
            await asyncio.wait_for(loop.sock_connect(connection, found[0][4]), _OUTSIDE_S)
    except TimeoutError:
        return f"no answer within {_OUTSIDE_S:.0f} s"
    except (OSError, IndexError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


async def http_status(layout: Layout, port: int, path: str, method: str = "GET") -> int | None:
    """What a request on the namespace's loopback is answered with; None for no answer within two seconds."""
    try:
        async with asyncio.timeout(_PROBE_S):
            reader, writer = await asyncio.open_connection(sock=await _connect(layout, port))
            try:
                head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
                writer.write(head.encode())
                version, status, *_ = (await reader.readline()).split()
                return int(status) if version.startswith(b"HTTP/") else None
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return None


def _is_namespace(file: Path) -> bool:
    return file.exists() and file.stat().st_dev != file.parent.stat().st_dev


async def _connect(layout: Layout, port: int) -> socket.socket:
    made: list[socket.socket] = []

    def create() -> None:
        _join(layout.namespace_file)
        made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    _in_a_thread(create)
    if not made:
        raise FileNotFoundError(layout.namespace_file)
    made[0].setblocking(False)
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made[0], ("127.0.0.1", port)), _PROBE_S)
    except BaseException:
        made[0].close()
        raise
    return made[0]


async def stop_leftovers(layout: Layout, patience: float = 15) -> int:
    """Ends what a killed supervisor left in the namespace; returns how many there were.

    They have their signal from the kernel already; who has not gone after ``patience`` seconds is killed. Raises
    :class:`ccx.errors.CcxError` naming who lives on all the same.
    """
    found = [known for pid in processes.inside_network(layout.namespace_file) if (known := processes.identify(pid))]
    patient_until = time.monotonic() + patience
    while remaining := [process for process in found if process.alive]:
        if time.monotonic() > patient_until + _KILLED_S:
            pids = ", ".join(str(process.pid) for process in remaining)
            raise CcxError(
                f"processes of instance {layout.instance!r} were killed and do not end: {pids}",
                remedy=f"They hang in the kernel: ps -o pid,stat,wchan,cmd -p {pids.replace(' ', '')}",
                status=504,
            )
        if time.monotonic() > patient_until:
            for process in remaining:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
    return len(found)


def within(layout: Layout, work: Callable[[], T]) -> T:
    """What ``work`` returns or raises, done by a thread in the namespace, as are the threads that it starts. Blocks."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            _join(layout.namespace_file)
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def _join(namespace_file: Path) -> None:
    """Moves the calling thread, which must end afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(namespace_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


def _in_a_thread(work: Callable[[], None]) -> None:
    """Another namespace is joined for good by a thread that ends; what it fails with is told by what it leaves out."""

    def quietly() -> None:
        with suppress(OSError):
            work()

    thread = threading.Thread(target=quietly)
    thread.start()
    thread.join()
