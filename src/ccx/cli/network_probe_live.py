"""A probe while it runs: a table on the terminal that fills as answers come."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ccx.cli.output import console

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ccx.network.probe import Outcome, Target

_MOST_WAITING = 12


class LiveProbe:
    """As a context, gives the function that each outcome is reported to. Nothing of it stays on the screen."""

    def __init__(self, wanted: Sequence[Target]) -> None:
        self._waiting = {t.key: f"{t.host}:{t.row.port}" for t in wanted if t.request is not None}
        self._total = len(self._waiting)
        self._failed: list[Outcome] = []
        self._began = time.monotonic()
        self._spinner = Spinner("dots")
        self._live = Live(
            console=console(sys.stderr), refresh_per_second=8, get_renderable=self._render, transient=True
        )

    def __enter__(self) -> LiveProbe:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def __call__(self, outcome: Outcome) -> None:
        self._waiting.pop(outcome.target.key, None)
        if outcome.result == "failed":
            self._failed.append(outcome)

    def _render(self) -> RenderableType:
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(width=1)
        table.add_column(overflow="fold")
        table.add_column(style="dim", overflow="ellipsis", no_wrap=True)
        done = self._total - len(self._waiting)
        table.add_row(self._spinner, f"{done} of {self._total} tried", f"{time.monotonic() - self._began:.1f} s")
        for outcome in self._failed:
            where = f"{outcome.target.host}:{outcome.row.port}"
            table.add_row(Text("✗", style="red"), Text(where), Text(outcome.why))
        for where in list(self._waiting.values())[:_MOST_WAITING]:
            table.add_row(Text("…", style="dim"), Text(where, style="dim"), "")
        return table
