"""Runners as processes of their own, to be killed. Each is forked from a nursery that has imported everything once.

The nursery (this module, run by ``python -m``) reads one order a line, as JSON, and answers with how that runner died.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.integration.saga.cases import CASES
from tests.integration.saga.installation import Made, services_of
from tests.integration.saga.logs import log_plainly
from tests.integration.saga.meddle import Meddler, Plan
from tests.integration.saga.simulated import die_with_parent

from ccx.jobs import Runner


class Life:
    """One runner, from its birth to its death."""

    def __init__(self, process_id: int, death: asyncio.Task[int]) -> None:
        self._process_id = process_id
        self.death = death
        """Ends with its return code, which is minus the signal that killed it."""

    async def kill(self) -> None:
        """Unless it is dead already. Its parent, the nursery, can't have waited for it before it says so."""
        if not self.death.done():
            with suppress(ProcessLookupError):
                os.kill(self._process_id, signal.SIGKILL)
        await self.death


class Nursery:
    """Starts runners, one at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @asynccontextmanager
    async def runner(self, name: str, lease: float, made: Made, plans: Mapping[str, Plan]) -> AsyncIterator[Life]:
        """A new runner, dead at the end in any case."""
        told = {who: asdict(plan) for who, plan in plans.items()}
        order = {"name": name, "lease": lease, "made": asdict(made), "plans": told}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        process_id = await self._hear("born", name)
        assert process_id > 1, "a signal to it must not reach anybody else"
        life = Life(process_id, asyncio.create_task(self._hear("died", name)))
        try:
            yield life
        finally:
            await life.kill()

    async def _hear(self, what: str, name: str) -> int:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "the nursery died"
        said: dict[str, Any] = json.loads(line)
        assert (said["what"], said["name"]) == (what, name), f"{what} {name} was expected, not {said}"
        return int(said["number"])


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        preexec_fn=die_with_parent, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    try:
        yield Nursery(process)
    finally:
        process.kill()
        await process.wait()


async def run(order: dict[str, Any]) -> None:
    """A runner with its meddler, until it is killed."""
    made = Made(**order["made"])
    assert CASES, "importing the cases registered their operations"
    Meddler(Path(made.directory), {who: Plan(**plan) for who, plan in order["plans"].items()}).install()
    async with services_of(made) as (services, engine):
        lease = order["lease"]
        await Runner(engine, services, name=order["name"], lease=lease, heartbeat=lease / 4, poll=0.2).run()


def main() -> None:
    log_plainly()
    for line in sys.stdin:
        order = json.loads(line)

        def say(what: str, number: int, name: str = order["name"]) -> None:
            os.write(1, json.dumps({"what": what, "name": name, "number": number}).encode() + b"\n")

        child = os.fork()
        if child == 0:
            die_with_parent()
            os.dup2(2, 1)  # logs must not be read as answers
            asyncio.run(run(order))
            os._exit(0)
        say("born", child)
        say("died", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


if __name__ == "__main__":
    main()
