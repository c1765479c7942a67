"""The supervisor's process, ``python -m ccx.embedded``: ``ccx up`` prepares everything, then becomes it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from ccx.embedded import chores, host_names, kernel_view, namespace, outside, record
from ccx.embedded.cloud import CloudDaemon
from ccx.embedded.control_plane import ControlPlane
from ccx.embedded.host_names import HostNames
from ccx.embedded.layout import Layout, remembered
from ccx.embedded.nats import Nats
from ccx.embedded.object_store import ObjectStore
from ccx.embedded.part import Part
from ccx.embedded.postgres import Postgres
from ccx.embedded.report import Report
from ccx.embedded.sandbox import Sandbox
from ccx.embedded.sockets import opened
from ccx.embedded.supervisor import Supervisor
from ccx.errors import CcxError

_RENEW_EVERY_S = 24 * 3600.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="ccx.embedded")
    parser.add_argument("--instance", required=True)
    parser.add_argument("--postgres", type=Path, help="run PostgreSQL, from this folder of programs")
    parser.add_argument("--nats", action="store_true", help="run NATS")
    parser.add_argument("--s3", action="store_true", help="run the object store")
    parser.add_argument("--local-cloud", action="store_true", help="run the local cloud's daemon")
    parser.add_argument("--packages", action="store_true", help="run the mirror of nodes' packages")
    parser.add_argument("--resolve", metavar="DOMAIN", help="let this machine resolve names of that domain")
    parser.add_argument("--outside", action="store_true", help="follow the addresses of what is outside, by the plan")
    parser.add_argument("--detached", action="store_true", help="write to the log once everything is ready")
    options = parser.parse_args()
    layout = remembered(options.instance)
    if layout is None:
        print(f"instance {options.instance!r} is not installed", file=sys.stderr)
        return 1
    try:
        asyncio.run(_supervise(layout, options))
    except (CcxError, OSError) as error:
        print(f"ccx up: {error}", file=sys.stderr)
        return 1
    return 0


async def _supervise(layout: Layout, options: argparse.Namespace) -> None:
    os.umask(0o027)
    report = Report()
    entry, _lock = record.begin(layout.run, layout.listen, layout.public_url)
    began = time.monotonic()
    if left := await namespace.stop_leftovers(layout):
        report.line(f"  ended {left} processes that an earlier supervisor left")
    await namespace.enforce(layout, layout.egress_rules)
    sockets = opened(layout)
    sandbox = Sandbox(layout)
    parts: list[Part] = []
    if options.local_cloud:
        parts.append(CloudDaemon(layout))
    if options.packages:
        from ccx.embedded.packages import PackageMirror  # it brings much along

        parts.append(PackageMirror(layout))
    if options.postgres is not None:
        parts.append(Postgres(layout, sandbox, options.postgres))
    if options.nats:
        parts.append(Nats(layout, sandbox))
    parts.append(ControlPlane(layout, sandbox, sockets))
    if options.resolve:
        parts.append(HostNames(layout, options.resolve))
    alongside = [ObjectStore(layout, sandbox)] if options.s3 else []
    supervisor = Supervisor(parts, entry, layout.run, layout.logs, report, alongside)
    ready = asyncio.Event()
    aside = [asyncio.create_task(_renew(layout, report))]
    if options.outside:
        aside.append(asyncio.create_task(_follow(layout, report)))
    announcing = asyncio.create_task(_announce(ready, layout, report, began, detached=options.detached))
    try:
        async with kernel_view.served(layout):
            await supervisor.run(ready)
    finally:
        announcing.cancel()
        for task in aside:
            task.cancel()
        await host_names.forget(layout)
        await outside.remove(layout)
    report.line(f"instance {layout.instance!r} has stopped; its nodes go on")


async def _renew(layout: Layout, report: Report) -> None:
    """The listener's certificate, long before it expires. Who serves sees for himself that there is another one."""
    while True:
        await asyncio.sleep(_RENEW_EVERY_S)
        try:
            await chores.do("certificates", layout)
        except (CcxError, OSError) as error:
            report.line(f"  certificate     {error}")


async def _follow(layout: Layout, report: Report) -> None:
    """Loads the contract only where it is needed: the supervisor stays small."""
    from ccx.embedded import outside_names
    from ccx.network.plan import plan
    from ccx.settings import load

    await outside_names.follow(layout, plan(load(layout.instance, environ={})), report)


async def _announce(ready: asyncio.Event, layout: Layout, report: Report, began: float, *, detached: bool) -> None:
    await ready.wait()
    report.line(f"{layout.public_url} is up after {time.monotonic() - began:.1f} s")
    if detached:
        _leave_the_terminal(layout.logs / "supervisor.log")


def _leave_the_terminal(log: Path) -> None:
    """Who started us sees the end of our output, and returns."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main())
