"""What backups cost: full, incremental, restore beside raw pgBackRest; writes meanwhile; what a loss takes along.

``python benchmarks/backup.py [--size 5] [--trials 1] [--only PART ...] [--apart] [--json FILE]``, as root.
One single-node datastore with that many GiB. Raw is pgBackRest with the same settings, by hand, on the same node under
the same limits, in turns with ours. Parts, each of which goes on where the one before failed:

- ``backups``: full and incremental (after a fiftieth of the rows changed). Ours is the job's step that makes it, what
  it asks before and notes afterwards included;
- ``restores``: to the newest moment, and to a time after much was written (PITR): from the first byte until PostgreSQL
  is at that point and takes writes. What else our job does (a server, its boot, etcd, Patroni) is told beside it. Raw
  does it on a machine of the same kind, made by CCX just before and emptied, with all else stopped;
- ``writes``: p99 of single inserts, a steady fifty a second: alone, during raw pgBackRest's full backup, during ours,
  and while the store alone is as busy as it was with ours. It shares processors and disk with the node here, which on
  a cloud it does not: the last figure is what that costs. With ``--apart`` it is as on a cloud: the node, of one vCPU,
  has a processor to itself, all else has the others, the store what those leave, and its objects are in memory;
- ``loss``: how much of the log is not in the store at the worst moment; then the machine dies just before the log's
  next part ends, and the datastore is restored from the store alone: how much time is missing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

import raw_pgbackrest as raw
import report
from backup_bench import WITHIN, Bench, Found, span, step
from backup_loss import loss
from backup_writes import writes
from installation import alone, tenant
from tests.e2e.tenant import LocalSide, Store, Tenant, execute, select

ROWS_A_GIB = 1_000_000
REPLAYED_ROWS = 100_000
"""So many are written anew, and then replayed."""


async def ordered(user: Tenant, name: str, gib: float) -> Store:
    """A datastore of one node, with room for that much."""
    order = {
        "general": {"cluster_name": name, "cluster_size": 1, "db_vendor": "postgres"},
        "cloud": {"cloud_provider": "local", "cloud_region": "local"},
        "instance": {"instance_size": "tiny", "volume_size": max(10, round(gib * 2) + 6)},
    }
    return Store(user, (await user.call("POST", "prov/api/v2/cluster", order))["uuid"])


async def fill(bench: Bench) -> None:
    """Rows that compress to about a third, as real ones do."""
    await execute(bench.primary, "create table filler (id bigint, a text, b text)")
    random = " || ".join(f"encode(sha512((g * 31 + {n})::text::bytea), 'hex')" for n in range(4))
    for part in range(max(1, round(bench.gib * 4))):
        await execute(
            bench.primary,
            f"insert into filler select g, {random}, repeat('x', 400) "
            f"from generate_series({part * ROWS_A_GIB // 4}, {(part + 1) * ROWS_A_GIB // 4 - 1}) g",
        )
        report.say(
            f"filled: {await select(bench.primary, 'select pg_database_size(current_database())') / 2**30:.2f} GiB"
        )
    await execute(bench.primary, "vacuum (analyze) filler")


async def backups(bench: Bench, trials: int) -> None:
    """Each incremental one builds on a full one of the same maker."""

    async def ours(trial: int) -> None:
        if trial > 0:  # the first one was one already
            await bench.ours("full", "full")
        await bench.change(2 * trial)
        await bench.ours("incremental", "incremental")

    async def by_hand(trial: int) -> None:
        await bench.timed("full, raw", raw.back_up(bench.node, bench.stanza, "full"))
        await bench.change(2 * trial + 1)
        await bench.timed("incremental, raw", raw.back_up(bench.node, bench.stanza, "incr"))

    for trial in range(trials):
        for one in (ours, by_hand) if trial % 2 == 0 else (by_hand, ours):
            await one(trial)


async def restores(bench: Bench, trials: int) -> None:
    for trial in range(trials):
        await bench.change(20 + trial)
        await restored(bench, "restore", f"newest-{trial}", None)
        await bench.change(trial, max(2, round(bench.gib * ROWS_A_GIB / REPLAYED_ROWS)))
        at = await select(bench.primary, "select now()")
        await asyncio.sleep(1)
        await execute(bench.primary, "delete from filler where id % 50 = 49")
        await restored(bench, "PITR with replay", f"then-{trial}", at)


async def restored(bench: Bench, what: str, name: str, to: datetime | None) -> None:
    """By CCX into a new datastore; then by hand on the machine of one that was made for that, and emptied."""
    found = bench.found
    store = await bench.store.restore(name, to)
    await store.until_started(WITHIN)
    job = await store.job("JOB_TYPE_DEPLOY_DATASTORE")
    there = (await store.parameters(bench.folder))[0]
    node = raw.Node(await bench.local.init_of(there["hostaddr"]))
    said = await node.do("journalctl -q -o short-unix -u ccx-patroni", "root")
    began = _when(said, "Running custom bootstrap script")
    serves = _when(said, "database system is ready to accept connections")
    ended = datetime.fromisoformat(step(job, "restore")["finished_at"]).timestamp()
    found.took(what, serves - began)
    found.took(f"{what}: copying", _when(said, "postmaster pid") - began)
    found.took(f"{what}: then until the control plane sees it serve", ended - serves)
    found.took(f"{what}: before its first byte", began - datetime.fromisoformat(job["started_at"]).timestamp())
    found.took(f"{what}: whole job", span(job))
    rows = await select(there, "select count(*) from filler")
    await store.delete()

    store = await ordered(bench.user, f"raw-{name}", bench.gib)
    await store.until_started(WITHIN)
    node = raw.Node(await bench.local.init_of((await store.connection())["nodes"][0]["address"]))
    await raw.empty(node, bench.node)
    begins = time.monotonic()
    await bench.timed(f"{what}, raw: copying", raw.copy(node, bench.stanza, to))
    await raw.recover(node)
    found.took(f"{what}, raw", time.monotonic() - begins)
    assert await raw.rows(node, there["dbname"], "filler") == rows
    await store.delete()


def _when(said: str, what: str) -> float:
    """When a unit first said that, in seconds since the epoch, by its journal."""
    return next(float(line.split()[0]) for line in said.splitlines() if what in line)


PARTS: dict[str, Callable[[Bench, int], Awaitable[None]]] = {
    "backups": backups, "restores": restores, "writes": writes, "loss": loss,
}  # fmt: skip
"""In this order: the last one ends the datastore."""


def ratios(found: Found) -> list[tuple[str, float | None, float | None, float, str]]:
    """What, raw and ours in seconds, their ratio, and the goal."""
    rows = []
    for what, goal in (("full", ">= 0.95 x throughput"), ("incremental", ">= 0.95 x throughput")):
        hand, ours = found.median(f"{what}, raw"), found.median(what)
        if hand and ours:
            rows.append((what, hand, ours, hand / ours, goal))
    for what in ("restore", "PITR with replay"):
        hand, ours = found.median(f"{what}, raw"), found.median(what)
        if hand and ours:
            rows.append((what, hand, ours, ours / hand, "<= 1.15 x time"))
    return rows


def show(gib: float, found: Found) -> None:
    print(f"\n{gib:g} GiB; seconds, medians")
    print(report.table(("what", "raw", "CCX", "ratio", "to reach"), ratios(found)))
    print("\nparts, seconds, medians")
    print(report.table(("what", "s"), [(what, found.median(what)) for what in found.seconds]))
    if found.p99_ms:
        without = found.p99_ms["without"]
        print("\np99 of a write (to reach: <= 1.5 x)")
        rows = [(what, p99, p99 / without) for what, p99 in found.p99_ms.items()]
        print(report.table(("meanwhile", "ms", "ratio"), rows))
    if found.lost_s:
        print("\nwrites lost when machine and volume vanish (to reach: <= 60 s)")
        print(report.table(("when", "s"), list(found.lost_s.items())))
    for part, why in found.failed.items():
        print(f"\n{part} failed: {why}")


async def measure(found: Found, gib: float, trials: int, parts: Sequence[str], apart: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = ("--set", "auto_repair.enabled=false")
        async with tenant("backup", *options, apart=apart) as user:
            store = await ordered(user, "measured", gib)
            await store.allow(str(user.installed.layout.host))
            await store.until_started(240)
            local, primary = LocalSide(user.installed), (await store.parameters(folder))[0]
            try:
                node = raw.Node(await local.init_of(primary["hostaddr"]))
                if apart:
                    alone(node.init)
                bench = Bench(user, store, local, primary, node, await store.short_id(), gib, folder, found)
                await fill(bench)
                await bench.ours("full", "full")
                for part in parts:
                    await _guarded(bench, part, trials)
            finally:
                await local.cloud.close()


async def _guarded(bench: Bench, part: str, trials: int) -> None:
    """What one part fails of is no reason to have nothing of the others."""
    report.say(f"-- {part}")
    try:
        await PARTS[part](bench, trials)
    except Exception as error:  # whatever it is, it is told at the end
        traceback.print_exc()
        bench.found.failed[part] = f"{type(error).__name__}: {error}"


def main() -> None:
    parser = report.arguments(__doc__, trials=1)
    parser.add_argument("--size", type=float, default=5.0, metavar="GIB", help="of data (default: %(default)s)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help="some parts")
    parser.add_argument("--apart", action="store_true", help="only the node takes its disk and a processor")
    options, about, found = parser.parse_args(), report.machine(), Found()
    try:
        parts = [part for part in PARTS if part in options.only]
        asyncio.run(measure(found, options.size, options.trials, parts, options.apart))
    finally:
        show(options.size, found)
        report.write(
            options.json, about, gib=options.size, apart=options.apart, seconds=found.seconds,
            ratios=ratios(found), p99_ms=found.p99_ms, lost_s=found.lost_s, failed=found.failed,
        )  # fmt: skip
    sys.exit(1 if found.failed else 0)


if __name__ == "__main__":
    main()
