"""The simulated cloud without its HTTP face: each call meets its fault, then is carried out in one transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ccx.clouds.base import Tags
from ccx.clouds.simulated.database import Database
from ccx.clouds.simulated.faults import Faults
from ccx.clouds.simulated.nodes import Nodes
from ccx.clouds.simulated.resources import Resources
from ccx.clouds.simulated.state import Document, State
from ccx.clouds.wire import Injected
from ccx.errors import NotFound

T = TypeVar("T")

_QUESTIONS = ("check_capacity", "get_server", "inventory")
_CHANGES = (
    "create_volume", "delete_volume", "create_server", "delete_server", "power_off", "power_on", "put_firewall",
    "delete_firewall",
)  # fmt: skip


class World:
    """State is touched by one worker thread only, so that neither the loop nor a transaction waits for another."""

    def __init__(self, state: State, boot_delay: float, lease: float) -> None:
        self.state = state
        self.resources = Resources(state)
        self.faults = Faults(state)
        self._nodes = Nodes(state, Database(state, lease))
        self._boot_delay = boot_delay
        self._boots: set[asyncio.Task[None]] = set()
        self._worker = ThreadPoolExecutor(1)
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Goes on booting what was booting when the process died."""
        for name in await self.read(self.resources.booting):
            self._boot_soon(name)

    def stop(self) -> None:
        for boot in self._boots:
            boot.cancel()
        self._worker.shutdown()
        self.state.close()

    async def commit(self, work: Callable[..., T], *args: Any) -> T:
        """Carries ``work`` out: all of it on disk, or nothing."""

        def transaction() -> T:
            with self.state.transaction():
                return work(*args)

        result = await asyncio.get_running_loop().run_in_executor(self._worker, transaction)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
        return result

    async def read(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker, work, *args)

    async def call(self, call: str, body: dict[str, Any]) -> Any:
        """One method of Cloud, with its arguments as JSON."""
        if call in _QUESTIONS:
            ask = getattr(self.resources, call)
            return await self._meet_fault(call, body.get("name", ""), lambda: ask(**body))
        if call not in _CHANGES:
            raise NotFound(f"no such call: {call}")
        tags = Tags(**body.pop("tags"))
        name: str = body["name"] if "name" in body else next(iter(body.values()))["name"]

        def change() -> Any:
            result, changed = getattr(self.resources, call)(**body, tags=tags)
            self.state.record_call(
                {"call": call, "name": name, "datastore": tags.datastore, "token": tags.token, "changed": changed}
            )
            return result

        try:
            return await self._meet_fault(call, name, change)
        finally:
            # Also when the answer is lost: the machine boots nevertheless.
            if call in ("create_server", "power_on"):
                self._boot_soon(name)

    async def verb(self, address: str, verb: str, args: dict[str, Any], token: int | None) -> Any:
        """One verb on the node at ``address``."""
        name, _ = await self.read(self._nodes.at, address)

        def run() -> Any:
            result = self._nodes.run(address, verb, args, token)
            if token is not None:
                self.state.record_call({"call": f"verb:{verb}", "name": name, "token": token})
            return result

        return await self._meet_fault(f"verb:{verb}", name, run)

    async def events(self, after: int, wait: float) -> list[Document]:
        """Events after a number; waits up to ``wait`` seconds for the first."""
        try:
            async with asyncio.timeout(wait):
                while True:
                    changed = self._changed
                    if events := await self.read(self.state.events, after):
                        return events
                    await changed.wait()
        except TimeoutError:
            return []

    async def _meet_fault(self, call: str, name: str, work: Callable[[], Any]) -> Any:
        fault = await self.commit(self.faults.take, call, name)
        if fault is None:
            return await self.commit(work)
        await asyncio.sleep(fault.delay)
        if fault.hang:
            await asyncio.Event().wait()
        if fault.error and fault.moment == "before":
            raise Injected(fault.error)
        result = await self.commit(work)
        if fault.error:
            raise Injected(fault.error)
        return result

    def _boot_soon(self, name: str) -> None:
        async def boot() -> None:
            await asyncio.sleep(self._boot_delay)
            await self.commit(self.resources.boot, name)

        task = asyncio.create_task(boot())
        self._boots.add(task)
        task.add_done_callback(self._boots.discard)
