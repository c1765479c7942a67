"""Keeps claim and copy beside the roles, in their process. A failure is said, and stops neither database nor roles.

Only one thing ends the process: to learn that the instance is another control plane's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog

from ccx.errors import CcxError, Transient
from ccx.recovery import claim
from ccx.recovery.claim import Held, Own, Superseded
from ccx.recovery.copy import Copy
from ccx.recovery.places import Series
from ccx.recovery.status import CopyStatus
from ccx.settings import Settings
from ccx.storage.light import Shelf

EVERY = 20.0
"""Seconds between two looks for log that is not in the store."""
ACT_AFTER = 60.0
"""Seconds for which a control plane that is not sure of its claim waits for a silent store before it acts."""
_QUICK_S = 5.0
_RETRY_S = 1.0
_STEP_WITHIN_S = 1800.0
"""For a base of a large database by a slow line; what hangs must not hang for ever."""
_CONFIGURATION = "recovery/etc.sealed"

log = structlog.get_logger()


class Keeper:
    """Of one control plane. Without a store nothing is kept, and its roles act at once; ``why_not`` is said."""

    def __init__(
        self,
        settings: Settings,
        store: Shelf | None,
        copy: Callable[[Series], Copy],
        why_not: str = "",
        *,
        every: float = EVERY,
        claim_every: float = claim.EVERY,
        act_after: float = ACT_AFTER,
    ) -> None:
        self._var = settings.paths.var
        self._instance = settings.instance
        self._store = store
        self._copy_of = copy
        self._every, self._claim_every, self._act_after = every, claim_every, act_after
        self._own = Own.load(self._var)
        self._sure = False
        self._silent_since = time.monotonic()
        self.status = CopyStatus.load(self._var) or CopyStatus()
        self.status.kept, self.status.why_not = store is not None, why_not
        self.may_act = asyncio.Event()
        """Set once the roles that change something may run."""

    @property
    def own(self) -> Own:
        return self._own

    async def begin(self) -> None:
        """Before any role runs. Raises :class:`Superseded`. Takes no time when the store answers, or refuses to."""
        try:
            await self._begin()
        except Superseded as superseded:
            self._lose(superseded)
            raise
        if self.status.lost:
            self.status.lost = ""
            self._note()

    async def _begin(self) -> None:
        if self._own.lost:
            raise claim.superseded(self._instance, self._own.lost)
        if self._store is None:
            if self.status.why_not:
                log.warning("the control plane's own database is not backed up", reason=self.status.why_not)
                self._note()
            self.may_act.set()
            return
        try:
            async with asyncio.timeout(_QUICK_S):
                await self._settle()
        except TimeoutError:
            self._unheard("the object store takes its time")
        except Held as held:
            await self._wait_for(held)
        except Superseded:
            raise
        except Exception as error:
            self._unheard(_reason(error))
            if self._own.generation and self._own.boot == claim.boot():
                self.may_act.set()  # it held the claim a moment ago

    async def run(self) -> None:
        """Runs until cancelled. Raises :class:`Superseded`."""
        if self._store is None:
            await asyncio.Event().wait()
        self._silent_since = time.monotonic()
        tasks = [asyncio.create_task(work) for work in (self._hold(), self._keep(), self._begin_acting())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()

    async def end(self) -> None:
        """Says that this control plane has stopped acting, so that another need not wait for it."""
        if self._store is None:
            return
        with contextlib.suppress(Exception):
            async with asyncio.timeout(3):
                if self._sure:  # else the claim of that number may be somebody else's
                    await claim.alive(self._store, self._instance, self._own, released=True)
        await self._store.close()

    def used(self) -> None:
        """What a recovery needed once is done."""
        self._own = replace(self._own, recovered=False)
        self._own.save(self._var)

    async def _wait_for(self, held: Held) -> None:
        """A holder that is gone is silent until its lease is over; one that lives says so meanwhile."""
        log.warning("waiting for another control plane's lease to end", reason=str(held))
        assert self._store is not None
        until = time.monotonic() + claim.LEASE.total_seconds() + self._claim_every
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                return await self._settle()
            except Held as still:
                if time.monotonic() > until:
                    raise Superseded(str(still), remedy="Stop it there first; two can't act for one instance") from None
            except Superseded:
                raise
            except Exception as error:
                return self._unheard(_reason(error))

    async def _settle_or_wait(self) -> None:
        try:
            await self._settle()
        except Held as held:
            await self._wait_for(held)

    async def _settle(self) -> None:
        assert self._store is not None
        before = self._own.generation
        # As it was written down: an earlier try may have put a claim and been given up before it heard so.
        written = claim.Own.load(self._var)
        try:
            self._own = await claim.settle(self._store, self._instance, self._var, written)
        except Held:
            self._silent_since = time.monotonic()
            raise
        self._sure = True
        self.status.unheard, self.status.generation = "", self._own.generation
        self._note()
        self.may_act.set()
        if self._own.generation != before:
            log.info("took the claim", generation=self._own.generation)

    async def _hold(self) -> None:
        assert self._store is not None
        while True:
            try:
                if self._sure:
                    await asyncio.sleep(self._claim_every)
                    await claim.check(self._store, self._instance, self._var, self._own)
                    if self.status.unheard:
                        log.info("the object store answers again: there is no newer claim")
                        self.status.unheard = ""
                        self._note()
                else:
                    await self._settle_or_wait()
            except Superseded as superseded:
                self._lose(superseded)
                raise
            except Exception as error:
                self._unheard(_reason(error))
                await asyncio.sleep(_RETRY_S)

    async def _begin_acting(self) -> None:
        """A store that stays silent must not keep datastores from being looked after for ever."""
        while (left := self._silent_since + self._act_after - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self.may_act.wait()
                return
        log.warning("acting without having heard of newer claims", reason=self.status.unheard)
        self.may_act.set()

    async def _keep(self) -> None:
        copy: Copy | None = None
        while True:
            await self.may_act.wait()
            if self._sure:
                copy = copy or self._copy_of(Series(self._instance, self._own.generation))
                try:
                    async with asyncio.timeout(_STEP_WITHIN_S):
                        complete = await copy.step(await asyncio.to_thread(self._configuration))
                except Exception as error:
                    why = _reason(error) or f"the store or the database took more than {_STEP_WITHIN_S:.0f} s"
                    if why != self.status.failed:
                        log.warning("the control plane's copy falls behind", reason=why)
                    self.status.failed, copy = why, None
                else:
                    if self.status.failed:
                        log.info("the control plane's copy is complete again")
                    self.status.failed, self.status.complete = "", complete.timestamp()
                    if copy.base is not None:
                        self.status.base, self.status.base_bytes = copy.base.begun.timestamp(), copy.base.size
                self._note()
            await asyncio.sleep(self._every if self._sure else _RETRY_S)

    def _configuration(self) -> bytes:
        try:
            return (self._var / _CONFIGURATION).read_bytes()
        except FileNotFoundError:
            raise CcxError(
                f"there is no {self._var / _CONFIGURATION}", remedy="Restart with ccx down and ccx up", status=500
            ) from None

    def _unheard(self, why: str) -> None:
        if why != self.status.unheard:
            log.warning("can't see whether there is a newer claim; going on", reason=why)
            self.status.unheard = why
            self._note()

    def _lose(self, to: Superseded) -> None:
        self.status.lost = to.err
        self._note()

    def _note(self) -> None:
        try:
            (self._var / "recovery").mkdir(mode=0o750, exist_ok=True)
            self.status.save(self._var)
        except OSError as error:
            log.warning("can't write down how the copy is", reason=str(error))


def _reason(error: Exception) -> str:
    """What is unexpected says its kind too: what lies in the store may be damaged in any way."""
    return str(error) if isinstance(error, CcxError | Transient | OSError) else f"{type(error).__name__}: {error}"


def gated(keeper: Keeper, work: Callable[[], Coroutine[Any, Any, None]]) -> Coroutine[Any, Any, None]:
    """``work``, once the keeper lets the roles act."""

    async def run() -> None:
        await keeper.may_act.wait()
        await work()

    return run()
