"""What backups cost: full, incremental, restore beside raw pgBackRest; writes meanwhile; what a loss takes along.

``python benchmarks/backup.py [--gib 5] [--trials 2] [--json FILE]``, as root. One single-node datastore with that much
data. Raw is pgBackRest with the same configuration file, started by hand on the same node, in turns with ours:

- full and incremental (after a fiftieth of the rows changed): bytes of the database (or what changed) a second;
- restore to the newest moment with replay: from the first byte until PostgreSQL takes writes;
- p99 of single inserts, a steady fifty a second, without a backup and during ours;
- then the machine dies, and the datastore is restored from the store alone: how much time is missing.
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
import report
from installation import tenant
from tests.e2e.machine import eventually, run
from tests.e2e.tenant import LocalSide, Store, Tenant, execute, select

BACKUPS = "backup/api/v1/backups"
WITHIN = 3600.0
WRITES_A_SECOND = 50
QUIET_FOR_S = 30.0
ROWS_A_GIB = 1_000_000
_CONFIGURATION = "/etc/ccx/pgbackrest/pgbackrest.conf"
_TRY = "/var/lib/ccx-data/postgresql/try"


@dataclass
class Bench:
    user: Tenant
    store: Store
    local: LocalSide
    primary: dict[str, Any]
    node: str
    stanza: str
    seconds: dict[str, list[float]] = field(default_factory=dict)

    async def on_node(self, command: str) -> None:
        """As PostgreSQL's user."""
        init = str(await self.local.init_of(self.node))
        await run("nsenter", "-t", init, "-a", "runuser", "-u", "postgres", "--", "sh", "-c", command)

    async def raw(self, words: str) -> None:
        await self.on_node(f"pgbackrest --config={_CONFIGURATION} --stanza={self.stanza} {words}")

    async def timed(self, what: str, doing: Callable[[], Awaitable[None]]) -> None:
        began = time.monotonic()
        await doing()
        self.took(what, time.monotonic() - began)

    def took(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)
        report.say(f"{what}: {seconds:.1f} s")

    async def ours(self, kind: str, what: str) -> None:
        """A backup by the API; its time is that of the job's step that makes it."""
        job = await self.ended((await self.store.call("POST", BACKUPS, {"backup_type": kind}))["job_id"])
        self.took(what, _seconds(job, "backup"))
        self.took(f"{what}, whole job", _span(job))

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def over() -> dict[str, Any] | None:
            found: dict[str, Any] = await self.user.call("GET", f"deployment/v2/jobs/{job_id}")
            return found if found["finished_at"] else None

        job: dict[str, Any] = await eventually(over, WITHIN, every=0.5, what="the job ends")
        assert job["status"] == "JOB_STATUS_FINISHED", job["error"]
        return job


def _seconds(job: dict[str, Any], name: str) -> float:
    return _span(next(step for step in job["steps"] if step["name"] == name))


def _span(timed: dict[str, Any]) -> float:
    began, ended = (datetime.fromisoformat(timed[key]) for key in ("started_at", "finished_at"))
    return (ended - began).total_seconds()


async def fill(bench: Bench, gib: float) -> None:
    """Rows that compress to about a half, as real ones do."""
    await execute(bench.primary, "create table filler (id bigint, a text, b text)")
    for part in range(max(1, round(gib * 4))):
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


async def change(bench: Bench, part: int) -> None:
    await execute(bench.primary, f"update filler set b = repeat('{part % 10}', 400) where id % 50 = {part}")
    await bench.on_node("psql -h /run/postgresql -Atqc checkpoint postgres")


async def backups(bench: Bench, trials: int) -> None:
    for trial in range(trials):
        await bench.timed("full, raw", lambda: bench.raw("--type=full backup"))
        await bench.ours("full", "full")
        await change(bench, 2 * trial)
        await bench.timed("incremental, raw", lambda: bench.raw("--type=incr backup"))
        await change(bench, 2 * trial + 1)
        await bench.ours("incremental", "incremental")


async def restores(bench: Bench, trials: int) -> None:
    start = (
        f"echo 'local all postgres peer' >/tmp/hba && /usr/lib/postgresql/17/bin/pg_ctl -s -w -t 3600 -D {_TRY}"
        " -l /tmp/try.log start -o \"-p 5999 -c listen_addresses='' -c archive_mode=off -c"
        ' unix_socket_directories=/tmp -c hba_file=/tmp/hba -c ssl=off" && until psql -h /tmp -p 5999 -Atc'
        " 'select pg_is_in_recovery()' postgres | grep -q f; do sleep 0.1; done"
    )
    stop = f"/usr/lib/postgresql/17/bin/pg_ctl -s -m immediate -D {_TRY} stop; rm -rf {_TRY}"

    async def raw() -> None:
        await bench.raw(f"--pg1-path={_TRY} restore")
        await bench.on_node(start)

    for trial in range(trials):
        await change(bench, 20 + trial)  # for the replay
        await bench.on_node("psql -h /run/postgresql -Atqc 'select pg_switch_wal()' postgres")
        await bench.timed("restore, raw", raw)
        await bench.on_node(stop)
        restored = await bench.store.restore(f"restored-{trial}")
        await restored.until_started(WITHIN)
        job = await restored.job("JOB_TYPE_DEPLOY_DATASTORE")
        bench.took("restore", _seconds(job, "restore"))
        bench.took("restore, whole job", _span(job))
        await restored.delete()


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


async def lost(bench: Bench, folder: Path) -> float:
    """Seconds of writes that are missing after the machine and its volume are gone."""
    died = asyncio.Event()

    async def kill() -> None:
        await asyncio.sleep(90)
        await bench.local.cloud.kill((await bench.store.primary())["hostname"])
        died.set()

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
    restored = await bench.store.restore("after-the-loss")
    await restored.until_started(WITHIN)
    newest = await select((await restored.parameters(folder))[0], "select max(at) from beat")
    return float((last - newest).total_seconds())


def show(gib: float, bench: Bench, p99: dict[str, float], recovery_point: float) -> list[dict[str, Any]]:
    rows = []
    for what, goal in (("full", 0.95), ("incremental", 0.95)):
        raw, ours = median(bench.seconds[f"{what}, raw"]), median(bench.seconds[what])
        rows.append({"what": what, "raw": raw, "ours": ours, "ratio": raw / ours, "goal": f">= {goal} x throughput"})
    raw, ours = median(bench.seconds["restore, raw"]), median(bench.seconds["restore"])
    rows.append(
        {"what": "restore with replay", "raw": raw, "ours": ours, "ratio": ours / raw, "goal": "<= 1.15 x time"}
    )
    print(f"\n{gib:g} GiB; seconds, medians")
    head = ("what", "raw", "CCX", "ratio", "to reach")
    print(report.table(head, [(r["what"], r["raw"], r["ours"], r["ratio"], r["goal"]) for r in rows]))
    print("\np99 of a write, ms (to reach: <= 1.5 x)")
    print(report.table(("without", "during a backup", "ratio"), [tuple(p99.values())]))
    print(f"\nwrites lost when machine and volume vanish: {recovery_point:.1f} s (to reach: <= 60 s)")
    return rows


async def measure(gib: float, trials: int) -> tuple[Bench, dict[str, float], float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # The store's volumes are as many as the disk has room for; the node's must hold the database twice.
        async with tenant("backup", "--set", "auto_repair.enabled=false") as user:
            wish = {"instance_size": "tiny", "volume_size": max(10, round(gib * 4) + 4)}
            general = {"cluster_name": "measured", "cluster_size": 1, "db_vendor": "postgres"}
            cloud = {"cloud_provider": "local", "cloud_region": "local"}
            order = {"general": general, "cloud": cloud, "instance": wish}
            store = Store(user, (await user.call("POST", "prov/api/v2/cluster", order))["uuid"])
            await store.allow(str(user.installed.layout.host))
            await store.until_started(240)
            local, primary = LocalSide(user.installed), (await store.parameters(folder))[0]
            bench = Bench(user, store, local, primary, primary["hostaddr"], await store.short_id())
            try:
                await fill(bench, gib)
                await bench.ours("full", "first")
                await backups(bench, trials)
                await restores(bench, trials)
                p99 = await writes(bench)
                return bench, p99, await lost(bench, folder)
            finally:
                await local.cloud.close()


def main() -> None:
    parser = report.arguments(__doc__, trials=2)
    parser.add_argument("--gib", type=float, default=5.0, help="of data (default: %(default)s)")
    options, about = parser.parse_args(), report.machine()
    bench, p99, recovery_point = asyncio.run(measure(options.gib, options.trials))
    rows = show(options.gib, bench, p99, recovery_point)
    report.write(
        options.json, about, gib=options.gib, seconds=bench.seconds, ratios=rows, p99_ms=p99, lost_s=recovery_point
    )


if __name__ == "__main__":
    main()
