"""Runs roles of the control plane in one process: ``rest``, ``runner``, ``state``; ``ccx up`` runs all of them."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from ccx import jobs
from ccx.auth import ensure_operator
from ccx.embedded import logs
from ccx.embedded.assemble import Assembled, assembled
from ccx.embedded.layout import HTTP_PORT
from ccx.embedded.migration import migrated
from ccx.embedded.namespace import listening_socket
from ccx.embedded.sockets import Sockets, received
from ccx.embedded.survival import kept
from ccx.errors import CcxError, Invalid
from ccx.network.guard import Mode, guard
from ccx.recovery.claim import Superseded
from ccx.recovery.keeper import Keeper, gated
from ccx.settings import Settings, load

log = structlog.get_logger()

ROLES = ("rest", "runner", "state")


def run(instance: str, roles: Sequence[str], sockets: str = "", runner: str | None = None) -> int:
    """Serves ``roles`` (none: all) until SIGTERM, and returns the exit code.

    ``sockets`` are the supervisor's (:mod:`ccx.embedded.sockets`); without, the API listens on 127.0.0.1:18091.
    ``runner`` names this process's runner; the leases of a dead one of that name are freed first.
    """
    for role in roles:
        if role not in ROLES:
            raise Invalid(f"there is no role {role!r}", field="roles", remedy=f"Roles are: {', '.join(ROLES)}")
    settings = load(instance)
    supervised = bool(sockets)
    logs.configure(settings.log_level, settings.paths.var / "log" / "ccx.log" if supervised else None)
    guard.on(Mode(settings.guard), settings)  # the kernel refuses; this says who asked, and what is missing
    opened = received(sockets) if supervised else Sockets((), (listening_socket(("127.0.0.1", HTTP_PORT)),))
    try:
        migrated(settings)
        asyncio.run(_serve(settings, roles or ROLES, opened, runner))
    except (CcxError, OSError) as error:
        log.error("stopped", reason=str(error))
        print(f"ccx serve: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings, roles: Sequence[str], sockets: Sockets, runner: str | None) -> None:
    async with assembled(settings) as parts:
        if runner is not None:
            async with parts.services.sessions.begin() as tx:
                freed = await jobs.release(tx, runner)
            if freed:
                log.info("freed the leases of a dead runner", runner=runner, jobs=freed)
        await _ensure_operator(parts)
        async with kept(parts, roles) as keeper:
            await _run(parts, roles, sockets, runner, keeper)


async def _run(parts: Assembled, roles: Sequence[str], sockets: Sockets, runner: str | None, keeper: Keeper) -> None:
    starters: dict[str, Callable[[], tuple[list[Coroutine[Any, Any, None]], Callable[[], None]]]] = {
        "rest": lambda: _rest(parts, sockets),
        "runner": lambda: _runner(parts, runner, keeper),
        "state": lambda: _state(parts, keeper),
    }
    work: list[Coroutine[Any, Any, None]] = []
    stops: list[Callable[[], None]] = []
    for role in ROLES:
        if role in roles:
            coroutines, stop = starters[role]()
            work += coroutines
            stops.append(stop)
    stopping = asyncio.Event()
    work.append(_unless(stopping, keeper.run()))
    stops.append(stopping.set)
    await _until_signalled(work, stops)


async def _ensure_operator(parts: Assembled) -> None:
    """Whoever can read the file is the operator; elsewhere operators are made by other means."""
    file = parts.services.settings.paths.etc / "operator.password"
    try:
        password = file.read_text().strip()
    except FileNotFoundError:
        return
    async with parts.services.sessions.begin() as tx:
        await ensure_operator(tx, "operator", password)


async def _until_signalled(work: Sequence[Coroutine[Any, Any, None]], stops: Sequence[Callable[[], None]]) -> None:
    """Runs all of it. When one ends by itself or fails, the process is no good any more: everything ends."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    tasks = [asyncio.create_task(one) for one in work]
    waiting = asyncio.create_task(told.wait())
    log.info("serving", tasks=len(tasks))
    ended, _ = await asyncio.wait({waiting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for stop in stops:
        stop()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    waiting.cancel()
    failures = [result for result in results if isinstance(result, Exception)]
    for failure in failures:
        if isinstance(failure, Superseded):
            raise failure
    for failure in failures:
        log.error("a role failed", exc_info=failure)
    if failures or waiting not in ended:
        raise CcxError("a role ended by itself", remedy="Read the log above this line", status=500)
    log.info("stopped")


Role = tuple[list[Coroutine[Any, Any, None]], Callable[[], None]]


def _rest(parts: Assembled, sockets: Sockets) -> Role:
    from ccx.cmon.packages import agent_package, offered_version
    from ccx.embedded.web import Web
    from ccx.rest import RestContext, create_app

    paths = parts.services.settings.paths
    apt = paths.var / "apt"
    ours = apt.is_dir()
    version = offered_version(apt) if ours else agent_package()[0]
    app = create_app(RestContext(parts.services, version, apt if ours else None))
    web = Web(app, certificate=paths.etc / "tls.crt", key=paths.etc / "tls.key")
    return [web.run(tls=sockets.tls, plain=sockets.plain)], web.stop


def _runner(parts: Assembled, name: str | None, keeper: Keeper) -> Role:
    from ccx.runner import (
        apply_egress,
        apply_firewall,
        backup_datastore,
        confirm_restore,
        create_datastore,
        delete_datastore,
        drill_datastore,
        order_drill,
        probe_network,
        remove_backups,
        replace_node,
        restore_datastore,
        restore_in_place,
        rotate_certificates,
        undo_restore,
        verify_backups,
    )

    operations = (
        apply_egress, apply_firewall, backup_datastore, confirm_restore, create_datastore, delete_datastore,
        drill_datastore, order_drill, probe_network, remove_backups, replace_node, restore_datastore, restore_in_place,
        rotate_certificates, undo_restore, verify_backups,
    )  # fmt: skip
    log.debug("operations", names=[module.__name__ for module in operations])
    runner = jobs.Runner(parts.engine, parts.services, name=name)

    def stop() -> None:
        runner.stop()
        keeper.may_act.set()  # it may not have begun

    return [gated(keeper, runner.run)], stop


def _state(parts: Assembled, keeper: Keeper) -> Role:
    from ccx.state.relay import Relay
    from ccx.state.worker import StateWorker

    stopping = asyncio.Event()
    worker = StateWorker(parts.services, parts.engine, parts.nats)
    relay = Relay(parts.services.sessions, parts.nats)
    return [_unless(stopping, gated(keeper, work)) for work in (worker.run, relay.run)], stopping.set


async def _unless(stopping: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Runs what runs until it is cancelled, and cancels it when told to."""
    task = asyncio.create_task(work)
    waiting = asyncio.create_task(stopping.wait())
    try:
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        task.cancel()
        await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def main() -> int:
    parser = argparse.ArgumentParser(prog="ccx serve")
    parser.add_argument("roles", nargs="*")
    parser.add_argument("--instance", required=True)
    parser.add_argument("--sockets", default="")
    parser.add_argument("--runner", default=None)
    options = parser.parse_args()
    try:
        return run(options.instance, options.roles, options.sockets, options.runner)
    except CcxError as error:
        print(f"ccx serve: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
