"""Following a job: each step with its time, live on a terminal, a line per finished step elsewhere. All on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from ccx.cli.exits import Failed, Unreachable
from ccx.errors import CcxError, NotFound

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ccx.cli.client import Api

Job = Mapping[str, Any]
"""As the API shows it: ``job_id``, ``type``, ``status``, ``error``, and ``steps`` with their times."""

POLL = 0.5
"""Seconds between two looks at a job."""
PATIENCE = 120.0
"""Seconds for which a control plane that restarts is waited for: jobs go on when it is back."""

_AWAY = (502, 503, 504)


class Display(Protocol):
    """Where progress is shown."""

    def update(self, job: Job) -> None: ...
    def note(self, text: str) -> None: ...


def follow(api: Api, path: str, *, timeout: float | None = None, gone_is_done: bool = False) -> Job:
    """Waits until the job at ``path`` ends and returns it, showing its steps meanwhile.

    ``timeout`` in seconds, None waits for ever. ``gone_is_done``: a 404 is success (what the job belonged to is
    deleted). Raises :class:`Failed` with the job's reason when it errored, or did not end in time (it goes on).
    """
    started = time.monotonic()
    with _display() as display:
        job: Job = {"steps": []}
        while True:
            try:
                job = _look(api, path, display)
            except CcxError as error:
                if error.status == 404 and gone_is_done:
                    return {**job, "status": "JOB_STATUS_FINISHED"}
                raise
            display.update(job)
            if ended(job):
                break
            if timeout is not None and time.monotonic() - started > timeout:
                raise Failed(
                    f"the job did not end within {timeout:.0f} s; it goes on",
                    remedy=f"Follow it: ccx job follow {job['job_id']}",
                )
            time.sleep(POLL)
    if job["status"] == "JOB_STATUS_ERRORED":
        raise Failed(str(job.get("error") or "the job failed"), remedy=f"See its steps: ccx job show {job['job_id']}")
    return job


def _look(api: Api, path: str, display: Display) -> Job:
    """The job, now. A control plane that is away is asked again for :data:`PATIENCE` seconds."""
    away_since: float | None = None
    while True:
        try:
            found: Job = api.get(path)
            return found
        except CcxError as error:
            if not isinstance(error, Unreachable) and error.status not in _AWAY:
                raise
            if away_since is None:
                away_since = time.monotonic()
                display.note("the control plane does not answer; waiting for it")
            elif time.monotonic() - away_since > PATIENCE:
                raise
        time.sleep(POLL)


def ended(job: Job) -> bool:
    """Whether the job is over, well or badly."""
    return job.get("status") in ("JOB_STATUS_FINISHED", "JOB_STATUS_ERRORED")


def newest(jobs: Sequence[Job], kind: str) -> Job:
    """The newest job of a type, in a list that is newest first. Raises :class:`NotFound`."""
    for job in jobs:
        if job["type"] == kind:
            return job
    raise NotFound(f"the API lists no job of type {kind}", remedy="See what it did: ccx job list DATASTORE")


def seconds_of(step: Mapping[str, Any]) -> float | None:
    """How long a step took; None while it runs."""
    if not step.get("started_at") or not step.get("finished_at"):
        return None
    span = datetime.fromisoformat(step["finished_at"]) - datetime.fromisoformat(step["started_at"])
    return span.total_seconds()


def duration(seconds: float | None) -> str:
    """Seconds for people: ``0.4 s``, ``12.0 s``, ``3 min 05 s``."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def _display() -> AbstractContextManager[Display]:
    return LiveDisplay() if sys.stderr.isatty() else nullcontext(PlainDisplay())


class PlainDisplay:
    """One line when a step has ended; for logs and pipes."""

    def __init__(self) -> None:
        self._shown: set[str] = set()

    def update(self, job: Job) -> None:
        for step in job.get("steps") or ():
            took = seconds_of(step)
            if took is not None and step["name"] not in self._shown:
                self._shown.add(step["name"])
                self.note(f"{step['name']:<44} {duration(took):>9}")

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class LiveDisplay:
    """All steps, redrawn in place: a tick and the time of those done, a spinner beside those at work."""

    def __init__(self) -> None:
        from rich.live import Live
        from rich.spinner import Spinner

        from ccx.cli.output import console

        self._first_seen: dict[str, float] = {}
        self._job: Job = {}
        self._note = ""
        self._spinner = Spinner("dots")
        self._live = Live(console=console(sys.stderr), refresh_per_second=8, get_renderable=self._render)

    def __enter__(self) -> LiveDisplay:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def update(self, job: Job) -> None:
        self._note = ""
        for step in job.get("steps") or ():
            self._first_seen.setdefault(step["name"], time.monotonic())
        self._job = job

    def note(self, text: str) -> None:
        self._note = text

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=1)
        table.add_column(min_width=36, overflow="fold")
        table.add_column(justify="right")
        for step in self._job.get("steps") or ():
            took = seconds_of(step)
            if took is not None:
                table.add_row(Text("✓", style="green"), step["name"], duration(took))
            elif ended(self._job):
                table.add_row(Text("✗", style="red"), step["name"], "")
            else:
                so_far = time.monotonic() - self._first_seen[step["name"]]
                table.add_row(self._spinner, step["name"], Text(duration(so_far), style="dim"))
        return Group(table, Text(self._note, style="yellow")) if self._note else table
