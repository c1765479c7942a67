"""What the network contract costs: importing the whole catalogue, planning the largest settings, writing every format,
and an HTTP request to loopback under the guard's eyes.

``python benchmarks/network.py [--trials 9] [--json FILE]``. Imports are timed in fresh processes, with compiled
bytecode and without the interpreter's own start; the rest after import, in this process. Requests are made by
processes that take turns, batch by batch, so that what else the machine does falls on all of them. Beside the wall
clock stand the processor's figures, which a busy machine changes less. Ends with 1 when a median exceeds its budget.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from compileall import compile_dir
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import report

import ccx
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.network.render import FORMATS, render

BUDGET = {"import of the catalogue": 150.0, "plan and all formats": 200.0}
REQUESTS = {"bare": "httpx alone", "guard": "with the guard", "declared": "a declaration's client, with the guard"}
BATCH = 50
BUDGET_RATIO = 1.05
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


def requests(batches: int) -> dict[str, Times]:
    """The time of an HTTP request to loopback, a new connection each, of each batch and kind."""
    with ExitStack() as stack:
        port = stack.enter_context(_server())
        run = [sys.executable, str(Path(__file__).with_name("guarded.py"))]
        asking = {
            kind: stack.enter_context(
                subprocess.Popen([*run, kind, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
            for kind in REQUESTS
        }
        found: dict[str, Times] = {kind: [] for kind in REQUESTS}
        for batch in range(batches + 1):
            first = batch % len(asking)  # none is always the first, or the last
            for kind, process in [*asking.items()][first:] + [*asking.items()][:first]:
                assert process.stdin
                assert process.stdout
                print(BATCH, file=process.stdin, flush=True)
                wall, cpu = process.stdout.readline().split()
                if batch:  # the first warms up
                    found[kind].append((float(wall), float(cpu)))
        for process in asking.values():
            assert process.stdin
            process.stdin.close()
    return found


@contextmanager
def _server() -> Iterator[int]:
    """A server on loopback that answers at once; its port."""
    loop, listening = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        ports.append(server.sockets[0].getsockname()[1])
        listening.set()

    loop.create_task(serve())
    threading.Thread(target=loop.run_forever, daemon=True).start()
    listening.wait()
    yield ports[0]
    loop.call_soon_threadsafe(loop.stop)


def _ratio(times: Times, bare: Times) -> tuple[float, float]:
    """How many times as long as httpx alone, wall clock and processor: medians over batches that ran side by side."""
    pairs = list(zip(times, bare, strict=True))
    return statistics.median(t[0] / b[0] for t, b in pairs), statistics.median(t[1] / b[1] for t, b in pairs)


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
    asked = requests(3 * arguments.trials)
    loopback = {
        kind: {
            **dict(zip(("median", "processor"), map(statistics.median, zip(*times, strict=True)), strict=True)),
            **dict(zip(("ratio", "ratio_of_processor"), _ratio(times, asked["bare"]), strict=True)),
        }
        for kind, times in asked.items()
    }  # fmt: skip
    head = ("a request to loopback, ms", "median", "processor", "ratio", "of processor", "budget")
    budgets = {"guard": BUDGET_RATIO}
    rows = [(REQUESTS[kind], *values.values(), budgets.get(kind)) for kind, values in loopback.items()]
    print(f"\n{report.table(head, rows)}")
    report.write(
        arguments.json, about, milliseconds=figures, rows=len(plan(everything()).rows), request_to_loopback=loopback
    )
    slow = any(f["budget"] is not None and f["median"] > f["budget"] for f in figures.values())
    return int(slow or loopback["guard"]["ratio"] > BUDGET_RATIO)


if __name__ == "__main__":
    sys.exit(main())
