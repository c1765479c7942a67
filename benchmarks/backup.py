"""What backups cost: full, incremental, restore beside raw pgBackRest; writes meanwhile; what a loss takes along.

``python benchmarks/backup.py [--size 5] [--trials 2] [--json FILE]``, as root. One single-node datastore with that many
GiB. Raw is pgBackRest with the same settings, by hand, on the same node under the same limits, in turns with ours:

- full and incremental (after a fiftieth of the rows changed): bytes of the database (or what changed) a second. Ours is
  the job's step that makes it, what it asks before and notes afterwards included;
- restore to the newest moment, and to a time after much was written (PITR): from the first byte until PostgreSQL is at
  that point and takes writes. What else our job does (a server, its boot, etcd, Patroni) is told beside it. Raw does it
  on a machine of the same kind, made by CCX just before and emptied, with all else stopped;
- p99 of single inserts, a steady fifty a second, without a backup and during ours, all of its job;
- then the machine dies just before the next part of the log ends, and the datastore is restored from the store alone:
  how much time is missing.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psycopg
import raw_pgbackrest as raw
import report
from installation import tenant
from tests.e2e.machine import eventually
from tests.e2e.tenant import LocalSide, Store, Tenant, execute, select

BACKUPS = "backup/api/v1/backups"
WITHIN = 3600.0
WRITES_A_SECOND = 50
QUIET_FOR_S = 30.0
ROWS_A_GIB = 1_000_000
REPLAYED_SHARE = 5
"""Every so many rows are changed again for a restore with replay."""


@dataclass
class Bench:
    user: Tenant
    store: Store
    local: LocalSide
    primary: dict[str, Any]
    node: raw.Node
    stanza: str
    gib: float
    folder: Path
    seconds: dict[str, list[float]] = field(default_factory=dict)

    async def timed(self, what: str, doing: Awaitable[None]) -> None:
        began = time.monotonic()
        await doing
        self.took(what, time.monotonic() - began)

    def took(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)
        report.say(f"{what}: {seconds:.1f} s")

    async def ours(self, kind: str, what: str) -> None:
        """A backup by the API; its time is that of the job's step that makes it."""
        job = await self.ended((await self.store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"])
        self.took(what, _span(_step(job, "backup")))
        self.took(f"{what}, whole job", _span(job))

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def over() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.user.call("GET", f"deployment/v2/jobs/{job_id}")
            return found if found["finished_at"] else None

        job: dict[str, Any] = await eventually(over, WITHIN, every=0.5, what="the job ends")
        assert job["status"] == "JOB_STATUS_FINISHED", job["error"]
        return job


def _step(job: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(step for step in job["steps"] if step["name"] == name)
    return found


def _span(timed: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(timed[key]) for key in ("started_at", "finished_at"))
    return (ended - began).total_seconds()


async def ordered(user: Tenant, name: str, gib: float) -> Store:
    """A datastore of one node, with room for that much."""
    order = {
        "general": {"cluster_name": name, "cluster_size": 1, "db_vendor": "postgres"},
        "cloud": {"cloud_provider": "local", "cloud_region": "local"},
        "instance": {"instance_size": "tiny", "volume_size": max(10, round(gib * 2) + 6)},
    }
    return Store(user, (await user.call("POST", "prov/api/v2/cluster", order))["uuid"])


async def fill(bench: Bench) -> None:
    """Rows that compress to about a half, as real ones do."""
    await execute(bench.primary, "create table filler (id bigint, a text, b text)")
    for part in range(max(1, round(bench.gib * 4))):
        await execute(
            bench.primary,
            "insert into filler select g, string_agg(md5((g * 31 + n)::text), ''), repeat('x', 400) "
            f"from generate_series({part * ROWS_A_GIB // 4}, {(part + 1) * ROWS_A_GIB // 4 - 1}) g, "
            "generate_series(1, 16) n group by g",
        )
        report.say(
            f"filled: {await select(bench.primary, 'select pg_database_size(current_database())') / 2**30:.2f} GiB"
        )
    await execute(bench.primary, "vacuum (analyze) filler")


async def change(bench: Bench, part: int, of: int = 50) -> None:
    await execute(bench.primary, f"update filler set b = repeat('{part % 10}', 400) where id % {of} = {part}")
    await bench.node.do("psql -h /run/postgresql -Atqc checkpoint postgres")


async def backups(bench: Bench, trials: int) -> None:
    for trial in range(trials):
        await bench.timed("full, raw", raw.back_up(bench.node, bench.stanza, "full"))
        await bench.ours("full", "full")
        await change(bench, 2 * trial)
        await bench.timed("incremental, raw", raw.back_up(bench.node, bench.stanza, "incr"))
        await change(bench, 2 * trial + 1)
        await bench.ours("incremental", "incremental")


async def restores(bench: Bench, trials: int) -> None:
    for trial in range(trials):
        await change(bench, 20 + trial)
        await restored(bench, "restore", f"newest-{trial}", None)
        await change(bench, trial, REPLAYED_SHARE)
        at = await select(bench.primary, "select now()")
        await asyncio.sleep(1)
        await execute(bench.primary, "delete from filler where id % 50 = 49")
        await restored(bench, "PITR with replay", f"then-{trial}", at)


async def restored(bench: Bench, what: str, name: str, to: datetime | None) -> None:
    """By CCX into a new datastore; then by hand on the machine of one that was made for that, and emptied."""
    store = await bench.store.restore(name, to)
    await store.until_started(WITHIN)
    job = await store.job("JOB_TYPE_DEPLOY_DATASTORE")
    there = (await store.parameters(bench.folder))[0]
    node = raw.Node(await bench.local.init_of(there["hostaddr"]))
    said = await node.do("journalctl -q -o short-unix -u ccx-patroni", "root")
    began = _when(said, "Running custom bootstrap script")
    serves = _when(said, "database system is ready to accept connections")
    ended = datetime.fromisoformat(_step(job, "restore")["finished_at"]).timestamp()
    bench.took(what, serves - began)
    bench.took(f"{what}: copying", _when(said, "postmaster pid") - began)
    bench.took(f"{what}: then until the control plane sees it serve", ended - serves)
    bench.took(f"{what}: before its first byte", began - datetime.fromisoformat(job["started_at"]).timestamp())
    bench.took(f"{what}: whole job", _span(job))
    rows = await select(there, "select count(*) from filler")
    await store.delete()

    store = await ordered(bench.user, f"raw-{name}", bench.gib)
    await store.until_started(WITHIN)
    node = raw.Node(await bench.local.init_of((await store.connection())["nodes"][0]["address"]))
    await raw.empty(node, bench.node)
    began = time.monotonic()
    await bench.timed(f"{what}, raw: copying", raw.copy(node, bench.stanza, to))
    await raw.recover(node)
    bench.took(f"{what}, raw", time.monotonic() - began)
    assert await raw.rows(node, there["dbname"], "filler") == rows
    await store.delete()


def _when(said: str, what: str) -> float:
    """When a unit first said that, in seconds since the epoch, by its journal."""
    return next(float(line.split()[0]) for line in said.splitlines() if what in line)


async def latencies(bench: Bench, until: Callable[[], bool]) -> list[float]:
    """Seconds that single inserts take, sent at a steady rate whatever the ones before took."""
    took: list[float] = []
    async with await psycopg.AsyncConnection.connect(autocommit=True, **bench.primary) as connection:
        began = time.monotonic()
        while not until():
            due = began + len(took) / WRITES_A_SECOND
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await connection.execute("insert into beat (at) values (clock_timestamp())")
            took.append(time.monotonic() - due)
    return took


async def writes(bench: Bench) -> dict[str, float]:
    await execute(bench.primary, "create table beat (at timestamptz)")
    end = time.monotonic() + QUIET_FOR_S
    quiet = await latencies(bench, lambda: time.monotonic() >= end)
    job = asyncio.create_task(bench.ours("full", "full, under writes"))
    busy = await latencies(bench, job.done)
    await job
    return {"quiet": _p99(quiet), "during a backup": _p99(busy), "ratio": _p99(busy) / _p99(quiet)}


def _p99(seconds: list[float]) -> float:
    return quantiles(seconds, n=100)[98] * 1000


async def lost(bench: Bench) -> float:
    """Seconds of writes that are missing after the machine and its volume are gone."""
    archived = "select extract(epoch from last_archived_time)::float from pg_stat_archiver"

    async def kill() -> None:
        """Just before the next part of the log ends: what was written since the last one did is only there."""
        before = await select(bench.primary, archived)
        await eventually(lambda: later(before), 120, what="a part of the log is archived")
        every = await select(bench.primary, "select extract(epoch from current_setting('archive_timeout')::interval)")
        await asyncio.sleep(float(every) - 3)
        await bench.local.cloud.kill((await bench.store.primary())["hostname"])

    async def later(before: float) -> bool:
        return bool(await select(bench.primary, archived) != before)

    killing = asyncio.create_task(kill())
    last = datetime.now(UTC)
    try:
        async with await psycopg.AsyncConnection.connect(autocommit=True, **bench.primary) as connection:
            while True:
                await asyncio.wait_for(connection.execute("insert into beat (at) values (clock_timestamp())"), 5)
                last = datetime.now(UTC)
                await asyncio.sleep(0.1)
    except (psycopg.Error, TimeoutError):
        await killing
    await bench.store.delete()
    store = await bench.store.restore("after-the-loss")
    await store.until_started(WITHIN)
    newest = await select((await store.parameters(bench.folder))[0], "select max(at) from beat")
    return float((last - newest).total_seconds())


def show(bench: Bench, p99: dict[str, float], recovery_point: float) -> list[dict[str, Any]]:
    rows = []
    for what in ("full", "incremental"):
        hand, ours = median(bench.seconds[f"{what}, raw"]), median(bench.seconds[what])
        rows.append({"what": what, "raw": hand, "ours": ours, "ratio": hand / ours, "goal": ">= 0.95 x throughput"})
    for what in ("restore", "PITR with replay"):
        hand, ours = median(bench.seconds[f"{what}, raw"]), median(bench.seconds[what])
        rows.append({"what": what, "raw": hand, "ours": ours, "ratio": ours / hand, "goal": "<= 1.15 x time"})
    print(f"\n{bench.gib:g} GiB; seconds, medians")
    head = ("what", "raw", "CCX", "ratio", "to reach")
    print(report.table(head, [(r["what"], r["raw"], r["ours"], r["ratio"], r["goal"]) for r in rows]))
    print("\nparts, seconds, medians")
    print(report.table(("what", "s"), [(what, median(took)) for what, took in bench.seconds.items()]))
    print("\np99 of a write, ms (to reach: <= 1.5 x)")
    print(report.table(("without", "during a backup", "ratio"), [tuple(p99.values())]))
    print(f"\nwrites lost when machine and volume vanish: {recovery_point:.1f} s (to reach: <= 60 s)")
    return rows


async def measure(gib: float, trials: int) -> tuple[Bench, dict[str, float], float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with tenant("backup", "--set", "auto_repair.enabled=false") as user:
            store = await ordered(user, "measured", gib)
            await store.allow(str(user.installed.layout.host))
            await store.until_started(240)
            local, primary = LocalSide(user.installed), (await store.parameters(folder))[0]
            try:
                node = raw.Node(await local.init_of(primary["hostaddr"]))
                bench = Bench(user, store, local, primary, node, await store.short_id(), gib, folder)
                await fill(bench)
                await bench.ours("full", "first")
                await backups(bench, trials)
                await restores(bench, trials)
                p99 = await writes(bench)
                return bench, p99, await lost(bench)
            finally:
                await local.cloud.close()


def main() -> None:
    parser = report.arguments(__doc__, trials=2)
    parser.add_argument("--size", type=float, default=5.0, metavar="GIB", help="of data (default: %(default)s)")
    options, about = parser.parse_args(), report.machine()
    bench, p99, recovery_point = asyncio.run(measure(options.size, options.trials))
    rows = show(bench, p99, recovery_point)
    report.write(
        options.json, about, gib=options.size, seconds=bench.seconds, ratios=rows, p99_ms=p99, lost_s=recovery_point
    )


if __name__ == "__main__":
    main()
