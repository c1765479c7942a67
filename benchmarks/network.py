"""What the network contract costs: importing the whole catalogue, planning the largest settings, writing every format.

``python benchmarks/network.py [--trials 9] [--json FILE]``. Imports are timed in fresh processes, with compiled
bytecode and without the interpreter's own start; the rest after import, in this process. Beside the wall clock stand
the processor's figures, which a busy machine changes less. Ends with 1 when a median exceeds its budget.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from compileall import compile_dir
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report

import ccx
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.network.render import FORMATS, render

BUDGET = {"import of the catalogue": 150.0, "plan and all formats": 200.0}
_IMPORT = (
    "import time; begun, used = time.perf_counter(), time.process_time();"
    "from ccx.network import catalogue; catalogue.load();"
    "print((time.perf_counter() - begun) * 1000, (time.process_time() - used) * 1000)"
)
Times = list[tuple[float, float]]
"""(wall clock, processor), in milliseconds, of each run."""


def imports(trials: int) -> Times:
    """Each in a process of its own; the first, which reads from disk, is left out."""
    compile_dir(str(Path(ccx.__file__).parent), quiet=2)
    run = [sys.executable, "-c", _IMPORT]
    printed = [subprocess.run(run, capture_output=True, text=True, check=True).stdout for _ in range(trials + 1)]
    return [(float(wall), float(cpu)) for wall, cpu in (line.split() for line in printed[1:])]


def timed(work: Callable[[], object], trials: int) -> Times:
    """Each run, after one that is not counted."""
    work()
    found = []
    for _ in range(trials):
        begun, used = time.perf_counter(), time.process_time()
        work()
        found.append(((time.perf_counter() - begun) * 1000, (time.process_time() - used) * 1000))
    return found


def measure(trials: int) -> dict[str, Times]:
    """The times of each thing that is measured, by its name."""
    settings = everything()
    made = plan(settings)

    def whole() -> None:
        again = plan(settings)
        for fmt in FORMATS:
            render(again, fmt)

    found = {"import of the catalogue": imports(trials), "plan": timed(lambda: plan(settings), trials)}
    for fmt in FORMATS:
        found[f"format {fmt}"] = timed(lambda fmt=fmt: render(made, fmt), trials)
    return {**found, "plan and all formats": timed(whole, trials)}


def main() -> int:
    arguments = report.arguments(__doc__, trials=9).parse_args()
    about = report.machine()
    figures = {
        name: {
            "median": statistics.median(wall for wall, _ in times), "fastest": min(wall for wall, _ in times),
            "slowest": max(wall for wall, _ in times), "processor": statistics.median(cpu for _, cpu in times),
            "budget": BUDGET.get(name),
        }
        for name, times in measure(arguments.trials).items()
    }  # fmt: skip
    head = ("milliseconds", "median", "fastest", "slowest", "processor", "budget")
    print(report.table(head, [(name, *values.values()) for name, values in figures.items()]))
    report.write(arguments.json, about, milliseconds=figures, rows=len(plan(everything()).rows))
    return int(any(f["budget"] is not None and f["median"] > f["budget"] for f in figures.values()))


if __name__ == "__main__":
    sys.exit(main())
