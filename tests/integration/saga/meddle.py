"""Meddles with jobs, step by step: fails, repeats and kills. It wraps the public methods of ``Job``, nothing inside.

A plan is of one job, by its key and kind, so that many meddled jobs can run side by side in one runner.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.errors import CcxError
from ccx.jobs import Job

Moment = Literal["before", "in", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "in", "after")
Kind = Literal["step", "pivot", "transaction", "nap_until"]

REASON = "the saga suite made this step fail"


@dataclass(frozen=True)
class Plan:
    """What happens to one job. Whatever is named happens once, then the job runs as if nothing were."""

    fail_at: str = ""
    """A step that fails for good."""
    fail_times: int | None = None
    """None: at every try."""
    fail_after_doing: bool = False
    repeat_actions: bool = False
    repeat_undos: bool = False
    kill_at: str = ""
    """A step that the runner dies at; with ``kill_undo``, at its undo."""
    kill_moment: Moment = "in"
    """``before`` it begins, ``in`` it (done, and not recorded), or ``after`` it is recorded."""
    kill_undo: bool = False

    @property
    def title(self) -> str:
        """For a person who reads why a test failed."""
        doings = []
        if self.fail_at:
            doings.append(f"fail {'after doing ' if self.fail_after_doing else ''}'{self.fail_at}'")
        if self.kill_at:
            doings.append(f"kill {self.kill_moment} {'undo of ' if self.kill_undo else ''}'{self.kill_at}'")
        if self.repeat_actions or self.repeat_undos:
            doings.append("repeat " + " and ".join(["actions"] * self.repeat_actions + ["undos"] * self.repeat_undos))
        return ", ".join(doings) or "nothing"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class StepSeen:
    """A step that an operation named, in a run that nobody meddled with."""

    name: str
    kind: Kind
    undoable: bool
    compensable: bool
    """Before the pivot: its failure takes the whole job back."""


def job_name(kind: str, key: str) -> str:
    """How plans and records name a job."""
    return f"{kind} {key}"


@dataclass
class Meddler:
    """``plans`` by :func:`job_name`. ``directory`` holds what was done already, for the next runner to know."""

    directory: Path
    plans: dict[str, Plan] = field(default_factory=dict)
    seen: dict[str, list[StepSeen]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def install(self) -> Callable[[], None]:
        """Wraps ``Job`` for this process; the returned function unwraps it."""
        originals = {name: getattr(Job, name) for name in ("step", "pivot", "transaction", "nap_until")}
        kinds: dict[Kind, Callable[..., Any]] = {
            "step": self._action, "pivot": self._action, "transaction": self._body, "nap_until": self._condition,
        }  # fmt: skip
        for kind, meddle in kinds.items():
            setattr(Job, kind, self._wrap(kind, originals[kind], meddle))

        def restore() -> None:
            for name, original in originals.items():
                setattr(Job, name, original)

        return restore

    def _wrap(self, kind: Kind, original: Any, meddle: Callable[..., Any]) -> Any:
        async def method(job: Job, name: str, action: Any, **options: Any) -> Any:
            who = job_name(self._kind_of(job), job.key)
            plan = self.plans.get(who, Plan())
            self._see(who, kind, name, options)
            if options.get("undo") is not None:
                options["undo"] = self._undo(who, plan, name, options["undo"], meddle)
            forward = not plan.kill_undo and plan.kill_at == name
            if forward:
                self._die(who, plan, "before")
            wrapped = meddle(who, name, action, plan.repeat_actions, self._failing(who, plan, name), forward and plan)
            result = await original(job, name, wrapped, **options)
            if forward:
                self._die(who, plan, "after")
            return result

        return method

    def _kind_of(self, job: Job) -> str:
        return job._ledger.record.kind

    def _see(self, who: str, kind: Kind, name: str, options: dict[str, Any]) -> None:
        steps = self.seen.setdefault(who, [])
        if name not in {s.name for s in steps}:
            compensable = kind != "pivot" and all(s.kind != "pivot" for s in steps)
            steps.append(StepSeen(name, kind, options.get("undo") is not None, compensable))

    def _undo(self, who: str, plan: Plan, name: str, undo: Any, meddle: Callable[..., Any]) -> Any:
        dying = plan.kill_undo and plan.kill_at == name
        wrapped = meddle(who, name, undo, plan.repeat_undos, None, dying and plan)

        async def meddled(argument: Any) -> Any:
            if dying:
                self._die(who, plan, "before")
            return await wrapped(argument)

        return meddled

    def _failing(self, who: str, plan: Plan, name: str) -> Plan | None:
        return plan if plan.fail_at == name else None

    def _fail(self, who: str, failing: Plan | None, *, done: bool) -> None:
        if failing is None or failing.fail_after_doing != done:
            return
        so_far = self.failures.get(who, 0)
        if failing.fail_times is None or so_far < failing.fail_times:
            self.failures[who] = so_far + 1
            raise CcxError(REASON, remedy="Nothing: it is a test")

    def _die(self, who: str, plan: Plan, moment: Moment) -> None:
        """SIGKILL, once: the mark outlives the process."""
        if plan.kill_moment != moment or self.killed(who):
            return
        self._mark(who).touch()
        os.kill(os.getpid(), signal.SIGKILL)

    def killed(self, who: str) -> bool:
        """Whether the runner died at this job as its plan wanted."""
        return self._mark(who).exists()

    def _mark(self, who: str) -> Path:
        return self.directory / f"killed {who}"

    def _action(
        self, who: str, name: str, action: Any, repeat: bool, failing: Plan | None, dying: Plan | Literal[False]
    ) -> Any:
        async def meddled(step: Any) -> Any:
            self._fail(who, failing, done=False)
            result = await action(step)
            if repeat:
                result = await action(step)
            self._fail(who, failing, done=True)
            if dying:
                self._die(who, dying, "in")
            return result

        return meddled

    def _body(
        self, who: str, name: str, body: Any, repeat: bool, failing: Plan | None, dying: Plan | Literal[False]
    ) -> Any:
        async def meddled(tx: AsyncSession) -> Any:
            self._fail(who, failing, done=False)
            if repeat:
                # A body runs again only after a rollback.
                nested = await tx.begin_nested()
                await body(tx)
                await tx.flush()
                await nested.rollback()
                tx.expire_all()
            result = await body(tx)
            await tx.flush()
            self._fail(who, failing, done=True)
            if dying:
                self._die(who, dying, "in")
            return result

        return meddled

    def _condition(
        self,
        who: str,
        name: str,
        condition: Callable[[], Awaitable[Any]],
        repeat: bool,
        failing: Plan | None,
        dying: Any,
    ) -> Any:
        meddled = self._action(who, name, lambda _: condition(), repeat, failing, False)

        async def look() -> Any:
            result = await meddled(None)
            if dying and result is not None:
                self._die(who, dying, "in")
            return result

        return look
