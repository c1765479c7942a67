"""What all benchmarks print and write: the machine they ran on, tables of medians, and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

QUIET = 1.0
"""Load average above which a machine is no longer quiet."""


def arguments(description: str | None, trials: int | None = None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    if trials is not None:
        parser.add_argument("--trials", type=int, default=trials, help="of each kind (default: %(default)s)")
    return parser


def machine() -> dict[str, Any]:
    """Where and when this runs; says so, and warns when others keep the machine busy."""
    load = round(os.getloadavg()[0], 2)
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_at_start": load,
        "kernel": platform.release(),
        "python": platform.python_version(),
    }
    print(f"{about['at']}  {about['cores']} cores, load {load} at the start", flush=True)
    if load > QUIET:
        print(f"warning: the machine is busy (load above {QUIET:g}); times are longer than on a quiet one", flush=True)
    return about


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need; all but the first to the right, figures with two decimals."""
    text = [[_cell(value) for value in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in text) for column in range(len(head))]
    return "\n".join(
        "  ".join(value.ljust(width) if at == 0 else value.rjust(width) for at, (value, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in text)
    )


def say(line: str) -> None:
    """Progress: to standard error, so that the tables can be kept apart."""
    print(line, file=sys.stderr, flush=True)


def write(file: Path | None, about: dict[str, Any], **figures: Any) -> None:
    if file is not None:
        file.write_text(json.dumps({"machine": about, **figures}, indent=2) + "\n")


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
