"""``python -m ccx.clouds.local.daemon --instance X --subnet CIDR``: the local cloud of one instance. Root.

It may be killed and restarted at any moment: machines, rules and names go on without it, and it takes them over again.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import grp
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

import uvicorn

from ccx.clouds.local import capacity
from ccx.clouds.local.api import make_app
from ccx.clouds.local.place import Place
from ccx.clouds.local.preflight import preflight
from ccx.clouds.local.provider import Provider
from ccx.clouds.local.records import Store
from ccx.clouds.local.resolver import Resolver
from ccx.errors import CcxError, Conflict, Transient


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ccx.clouds.local.daemon", description="The local cloud of one instance.")
    parser.add_argument("--instance", required=True)
    parser.add_argument("--subnet", required=True, type=IPv4Network, help="the instance's /20")
    parser.add_argument("--group", default="ccx", help="system group that may connect (default: %(default)s)")
    parser.add_argument("--ttl", type=int, default=5, help="of DNS answers, in seconds (default: %(default)s)")
    parser.add_argument(
        "--disk-overcommit",
        type=float,
        default=3.0,
        help="volumes given out, times the free disk (default: %(default)s)",
    )
    parser.add_argument(
        "--memory-overcommit", type=float, default=4.0, help="memory given out, times the host's (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    try:
        place = Place(options.instance, options.subnet)
        if found := preflight(place):
            raise found[0]
        with _only_one(place):
            limits = capacity.Limits(options.disk_overcommit, options.memory_overcommit)
            asyncio.run(_serve(place, limits, options.group, options.ttl))
    except (CcxError, Transient, OSError) as error:
        print(f"local cloud: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(place: Place, limits: capacity.Limits, group: str, ttl: int) -> None:
    os.umask(0o022)
    provider = Provider(place, Store(place.var / "state.json"), limits, _boot_id())
    resolver = Resolver(place, ttl)
    await provider.start()
    await resolver.start(provider.records.names)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(provider, resolver),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
        )
    )
    with _listening(place.socket, group) as listener:
        print(f"the local cloud of {place.instance!r} answers at {place.socket}", flush=True)
        await server.serve(sockets=[listener])
    await resolver.close()
    await provider.close()


def _boot_id() -> str:
    """Which run of the host this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@contextmanager
def _only_one(place: Place) -> Iterator[None]:
    """Raises Conflict when this instance's daemon runs already."""
    place.var.mkdir(parents=True, exist_ok=True)
    place.run.mkdir(parents=True, exist_ok=True)
    place.var.chmod(0o700)
    with (place.var / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"the local cloud of {place.instance!r} runs already") from None
        place.pid_file.write_text(f"{os.getpid()}\n")
        try:
            yield
        finally:
            place.pid_file.unlink(missing_ok=True)


@contextmanager
def _listening(path: Path, group: str) -> Iterator[socket.socket]:
    """A unix socket that root and ``group`` may connect to. Raises Conflict where there is no such group."""
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError:
        raise Conflict(f"there is no system group {group!r}", remedy="Run script/bootstrap") from None
    partial = path.with_suffix(".new")
    partial.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(partial))
        os.chown(partial, 0, gid)
        partial.chmod(0o660)
        listener.listen(128)
        partial.replace(path)  # clients never meet one that is not ready
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    sys.exit(main())
