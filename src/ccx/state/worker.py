"""The state worker: leads or waits, keeps a watcher per datastore, and passes on what the clouds report."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from ccx.clouds.base import Cloud, ServerState
from ccx.errors import CcxError, Transient
from ccx.runner.services import Services
from ccx.state import expiring, forgetting, kept, observing
from ccx.state.watcher import Watcher
from ccx.stores import datastores

AGAIN = 5.0
"""Seconds from a chore's first failure to the next try."""
_DOUBLED = 16
"""Times, at most: longer than any chore's usual pause."""

_LEADER = "select pg_try_advisory_lock(hashtext('ccx.state'))"
_STILL_LEADER = "select 1"

log = structlog.get_logger()


class StateWorker:
    """One of them leads, by an advisory lock that its connection holds; the others ask again every few seconds."""

    def __init__(self, services: Services, engine: AsyncEngine, nats: Client | None = None) -> None:
        self._services = services
        self._engine = engine
        self._nats = nats
        self._watchers: dict[UUID, tuple[Watcher, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()

    async def run(self, retry: float = 3.0) -> None:
        """Runs until cancelled."""
        while True:
            try:
                async with self._engine.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    if (await connection.execute(text(_LEADER))).scalar():
                        log.info("leading")
                        try:
                            await self._lead(connection)
                        finally:
                            await self._stop_watchers()
                            await connection.invalidate()  # kept by the pool, it would keep the lock
            except* (SQLAlchemyError, OSError) as errors:
                log.warning("lost the lead", reason=str(errors.exceptions[0]))
            await asyncio.sleep(retry)

    async def _lead(self, leadership: AsyncConnection) -> None:
        """Until :meth:`_keep_watchers` fails, as it does when the lock's connection breaks."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_watchers(leadership))
            if self._nats is not None:
                group.create_task(_for_ever(1.0, "listen", self._listen, self._nats))
            group.create_task(_for_ever(0.0, "observe", self._observe))
            group.create_task(_for_ever(forgetting.EVERY, "forget", self._forget))
            group.create_task(_for_ever(kept.EVERY, "confirm", self._confirm))
            group.create_task(_for_ever(expiring.EVERY, "expire", expiring.expire, self._services))
            for cloud in self._services.clouds.values():
                group.create_task(_for_ever(1.0, f"follow {cloud.code}", self._follow, cloud))

    async def _keep_watchers(self, leadership: AsyncConnection) -> None:
        """A watcher for each datastore that is to be watched, no other. Ends when the lock's connection breaks."""
        while True:
            await leadership.execute(text(_STILL_LEADER))
            async with self._services.sessions() as tx:
                wanted = {d.id for d in await datastores.watched(tx)}
            for ended in [key for key, (_, task) in self._watchers.items() if task.done()]:
                # A defect of ours: a datastore that nobody watches would neither be fenced nor repaired.
                _, task = self._watchers.pop(ended)
                log.error(
                    "a watcher failed", datastore=str(ended), exc_info=None if task.cancelled() else task.exception()
                )
            for gone in self._watchers.keys() - wanted:
                self._watchers.pop(gone)[1].cancel()
            for new in wanted - self._watchers.keys():
                watcher = Watcher(self._services, new)
                self._watchers[new] = (watcher, asyncio.create_task(watcher.run(), name=f"watch {new}"))
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await self._changed.wait()

    async def _listen(self, nats: Client) -> None:
        """Events of datastores wake their watchers at once."""

        async def heard(message: Msg) -> None:
            self._changed.set()
            _, _, datastore, what = message.subject.split(".", 3)
            watcher = self._watchers.get(UUID(datastore))
            if watcher is not None and what != "status":
                watcher[0].look()

        subscription = await nats.subscribe("ccx.datastore.>", cb=heard)
        try:
            await asyncio.Event().wait()
        finally:
            await subscription.unsubscribe()

    async def _observe(self) -> None:
        """Keeps what the kernels saw, before machines that saw it are gone."""
        await asyncio.sleep(observing.EVERY)
        for blind in await observing.read(self._services):
            log.debug("can't see what it connects to", source=blind.source, reason=blind.why)

    async def _forget(self) -> None:
        """Once an hour, and at the start: whoever leads does it."""
        if dropped := await forgetting.forget(self._services):
            log.info("forgot ended jobs", jobs=dropped)

    async def _confirm(self) -> None:
        """The same."""
        if ordered := await kept.confirm_overdue(self._services):
            log.info("confirmed restores whose time is over", datastores=ordered)

    async def _follow(self, cloud: Cloud) -> None:
        """A machine that the cloud reports as stopped needs no probe to be believed lost."""
        async for event in cloud.events():
            for watcher, _ in list(self._watchers.values()):
                if watcher.has_server(event.server):
                    if event.state is ServerState.STOPPED:
                        watcher.server_stopped(event.server)
                    watcher.look()

    async def _stop_watchers(self) -> None:
        tasks = [task for _, task in self._watchers.values()]
        self._watchers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _for_ever(pause: float, what: str, work: Callable[..., Awaitable[object]], *args: object) -> None:
    """Does it again and again. Whatever is wrong with it must not end what watches datastores, nor the process."""
    failures = 0
    while True:
        failures += 1
        try:
            await work(*args)
            failures = 0
        except (CcxError, Transient, SQLAlchemyError, OSError) as error:
            log.warning("tried again later", what=what, reason=str(error))
        except Exception:
            log.exception("tried again later", what=what)
        await asyncio.sleep(_until_next(pause, failures))


def _until_next(pause: float, failures: int) -> float:
    """Seconds: the usual pause, and less after failures in a row: soon at first, then less and less often."""
    return min(pause, AGAIN * 2.0 ** min(failures - 1, _DOUBLED)) if failures else pause
