"""A job's steps on standard error: redrawn in place on a terminal, a line per finished step elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ccx.cli.progress import Job


SAID_EVERY = 15.0
"""Seconds of silence after which a log is told how far a step is."""


class Display(Protocol):
    """Where progress is shown."""

    def update(self, job: Job) -> None: ...
    def note(self, text: str) -> None: ...


def for_stderr() -> AbstractContextManager[Display]:
    """The display that fits what standard error is."""
    return LiveDisplay() if sys.stderr.isatty() else nullcontext(PlainDisplay())


class PlainDisplay:
    """One line when a step has ended, and now and then how far a long one is; for logs and pipes."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, str]] = set()
        self._said_at = time.monotonic()

    def update(self, job: Job) -> None:
        from ccx.cli.progress import doing

        for step in job.get("steps") or ():
            if not step.get("finished_at") and (far := doing(step)) and time.monotonic() - self._said_at >= SAID_EVERY:
                self.note(f"{step['name']}: {far}")
            state = step.get("state") or "done"
            if step.get("finished_at") and (step["name"], state) not in self._shown:
                self._shown.add((step["name"], state))
                self.note(f"{step['name']:<44} {_outcome(step):>9}")

    def note(self, text: str) -> None:
        self._said_at = time.monotonic()
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

        from ccx.cli.progress import doing

        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=1)
        table.add_column(min_width=36, overflow="fold")
        table.add_column(justify="right")
        table.add_column(style="dim", overflow="ellipsis", no_wrap=True)
        for step in self._job.get("steps") or ():
            note = Text(doing(step))
            if step.get("finished_at"):
                good = step.get("state") in (None, "done")
                mark = Text("✓", style="green") if good else Text("✗", style="red")
                table.add_row(mark, Text(step["name"]), Text(_outcome(step)))
            elif self._job.get("finished_at"):
                table.add_row(Text("✗", style="red"), Text(step["name"]), Text(""))
            else:
                table.add_row(self._spinner, Text(step["name"]), Text(self._so_far(step), style="dim"), note)
        return Group(table, Text(self._note, style="yellow")) if self._note else table

    def _so_far(self, step: Mapping[str, Any]) -> str:
        """By our own clock, from when we first saw it: the control plane's may be set differently."""
        from ccx.cli.progress import duration

        return duration(time.monotonic() - self._first_seen[step["name"]])


def _outcome(step: Mapping[str, Any]) -> str:
    from ccx.cli.progress import duration, seconds_of

    state = step.get("state") or "done"
    return duration(seconds_of(step)) if state == "done" else state
