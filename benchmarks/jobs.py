"""What the job engine costs: steps a second, beside a bare loop of the statements that a step can't do without.

``python benchmarks/jobs.py [--jobs 300] [--steps 20] [--json FILE]`` starts a PostgreSQL of its own, with fsync on.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.postgres_server import running_server

from ccx import jobs
from ccx.db import make_engine, make_session_factory, migrate
from ccx.jobs import Job, Runner, Step, sql
from ccx.jobs.connections import Connections, parameters

CONNECTIONS = 4
"""As many as a runner has for its writes."""


@jobs.operation("benchmark", deadline=timedelta(hours=1))
async def benchmark(job: Job, steps: int) -> None:
    async def action(step: Step) -> int:
        return step.token

    for number in range(steps):
        await job.step(f"step {number}", action)


async def enqueue(engine: AsyncEngine, kind: str, count: int, steps: int) -> None:
    async with make_session_factory(engine).begin() as tx:
        for number in range(count):
            await jobs.enqueue(tx, kind, key=f"{kind}-{number}", args={"steps": steps})


async def run_engine(engine: AsyncEngine, count: int, steps: int) -> dict[str, float]:
    """All jobs through one runner, from the first claim to the last end."""
    await enqueue(engine, "benchmark", count, steps)
    runner = Runner(engine)
    began, cpu = time.perf_counter(), time.process_time()
    task = asyncio.create_task(runner.run())
    unfinished = text("select exists (select from jobs.job where kind = 'benchmark' and finished_at is null)")
    async with engine.connect() as connection:
        while await connection.scalar(unfinished):
            await connection.rollback()
            await asyncio.sleep(0.1)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    runner.stop()
    await task
    return {"seconds": seconds, "steps_per_s": count * steps / seconds, "cpu_us_per_step": cpu / count / steps * 1e6}


async def run_bare(engine: AsyncEngine, count: int, steps: int) -> dict[str, float]:
    """The same begin and finish of as many steps, over as many connections, and nothing else."""
    await enqueue(engine, "bare", count, steps)
    async with engine.begin() as tx:
        claim = "update jobs.job set status = 'running', token = nextval('jobs.token') where kind = 'bare'"
        claimed = [dict(row) for row in (await tx.execute(text(f"{claim} returning id, token"))).mappings()]
    connections = Connections(parameters(engine), CONNECTIONS)
    left = iter(claimed)

    async def work() -> None:
        for own in left:
            for number in range(1, steps + 1):
                step = {**own, "name": f"step {number}", "number": number}
                await connections.fetch(sql.BEGIN_STEP, {**step, "undoable": False, "forced": False, "pivot": False})
                done = {"state": "done", "result": "1", "error": None, "progress": None}
                await connections.fetch(sql.FINISH_STEP, {**step, **done})

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await connections.close()
    return {"seconds": seconds, "steps_per_s": count * steps / seconds, "cpu_us_per_step": cpu / count / steps * 1e6}


async def measure(dsn: str, count: int, steps: int) -> dict[str, dict[str, float]]:
    engine = make_engine(dsn)
    await migrate.upgrade(engine)
    try:
        return {
            "bare statements": await run_bare(engine, count, steps),
            "job engine": await run_engine(engine, count, steps),
        }
    finally:
        await engine.dispose()


def report(measured: dict[str, dict[str, float]]) -> str:
    lines = [f"{'':<18}{'seconds':>9}{'steps/s':>9}{'CPU µs/step':>13}"]
    lines += [
        f"{name:<18}{figures['seconds']:>9.2f}{figures['steps_per_s']:>9.0f}{figures['cpu_us_per_step']:>13.0f}"
        for name, figures in measured.items()
    ]
    ratio = measured["job engine"]["steps_per_s"] / measured["bare statements"]["steps_per_s"]
    return "\n".join([*lines, f"the engine reaches {ratio:.0%} of the bare statements"])


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--jobs", type=int, default=300)
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--json", type=Path, default=Path("jobs-benchmark.json"), metavar="FILE")
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with running_server(fsync="on") as server:
        measured = asyncio.run(measure(server.dsn("postgres"), given.jobs, given.steps))
    print(report(measured))
    machine: dict[str, Any] = {"cpus": os.cpu_count(), "load": os.getloadavg()[0], "python": platform.python_version()}
    given.json.write_text(
        json.dumps({"jobs": given.jobs, "steps": given.steps, "machine": machine, **measured}, indent=2)
    )


if __name__ == "__main__":
    main()
