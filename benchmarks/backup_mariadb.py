"""What MariaDB's backups cost: a full one and its restore, beside raw ``mariadb-backup | zstd | rclone``.

``python benchmarks/backup_mariadb.py [--size 5] [--trials 2] [--json FILE]``, as root. One single-node datastore with
that many GiB. Raw is the same programs with the same settings and keys, by hand, on the same node under the same
limits, in turns with ours:

- full: bytes of the database a second. Ours is the job's step that makes it, what it asks before and notes afterwards
  included;
- restore of such a backup as it is: from the first byte until the server takes writes. What else our job does (a
  machine, its boot, etcd, the keeper) is told beside it. Raw does it on a machine of the same kind, made by CCX just
  before and emptied.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import raw_mariadb_backup as raw
import report
from backup_bench import BACKUPS, WITHIN, Found, span, step
from installation import tenant
from raw_pgbackrest import Node
from tests.e2e.machine import eventually
from tests.e2e.tenant import LocalSide, Store, Tenant

from ccx.clouds.local.image import ensure_image
from ccx.demo.choice import choose

ROWS_A_GIB, PART = 1_000_000, 50_000


@dataclass
class Bench:
    user: Tenant
    store: Store
    local: LocalSide
    node: Node
    gib: float
    found: Found

    async def ended(self, job_id: str) -> dict[str, Any]:
        async def over() -> dict[str, Any] | None:
            job: dict[str, Any] = await self.user.call("GET", f"deployment/v2/jobs/{job_id}")
            return job if job["finished_at"] else None

        job: dict[str, Any] = await eventually(over, WITHIN, every=0.5, what="the job ends")
        assert job["status"] == "JOB_STATUS_FINISHED", job["error"]
        return job

    async def machine_of(self, store: Store) -> Node:
        return Node(await self.local.init_of((await store.connection())["nodes"][0]["address"]))


async def ordered(user: Tenant, name: str, gib: float) -> Store:
    """A datastore of one node, with room for that much and a copy."""
    order = {
        "general": {"cluster_name": name, "cluster_size": 1, "db_vendor": "mariadb"},
        "cloud": {"cloud_provider": "local", "cloud_region": "local"},
        "instance": {"instance_size": "tiny", "volume_size": max(10, round(gib * 2) + 6)},
    }
    return Store(user, (await user.call("POST", "prov/api/v2/cluster", order))["uuid"])


async def fill(bench: Bench) -> None:
    """Rows that compress to about a half, as real ones do; not in the log, which nobody replays here."""
    await raw.sql(bench.node, "create table defaultdb.filler (id bigint primary key, a text, b text)")
    various = ", ".join(f"md5(seq * 31 + {part})" for part in range(16))
    for first in range(1, round(bench.gib * ROWS_A_GIB) + 1, PART):
        await raw.sql(
            bench.node,
            "set session sql_log_bin = 0; insert into defaultdb.filler"
            f" select seq, concat({various}), repeat('x', 400) from defaultdb.seq_{first}_to_{first + PART - 1}",
        )
        if first % (5 * PART) == 1:
            report.say(f"filled: {first + PART - 1} rows")


async def backups(bench: Bench, trials: int) -> str:
    """The id of ours, the last one."""
    for _ in range(trials):
        began = time.monotonic()
        await raw.back_up(bench.node)
        bench.found.took("full, raw", time.monotonic() - began)
        job = await bench.ended((await bench.store.call("POST", BACKUPS, {"backup_type": "full"}))["job_id"])
        bench.found.took("full", span(step(job, "backup")))
        bench.found.took("full, whole job", span(job))
    newest: str = (await bench.store.call("GET", BACKUPS))["backups"][0]["backup_id"]
    return newest


async def restores(bench: Bench, backup: str, trials: int) -> None:
    rows = await raw.sql(bench.node, "select count(*) from defaultdb.filler")
    for trial in range(trials):
        path = f"{BACKUPS}/{bench.store.uuid}/{backup}/restore"
        made = await bench.user.call("POST", path, {"cluster_name": f"ours-{trial}"})
        store = Store(bench.user, made["uuid"])
        await store.until_started(WITHIN)
        job, node = await store.job("JOB_TYPE_DEPLOY_DATASTORE"), await bench.machine_of(store)
        began, writes = await times(node)
        bench.found.took("restore", writes - began)
        bench.found.took("restore: before its first byte", began - _when(job["started_at"]))
        bench.found.took("restore: whole job", span(job))
        assert await raw.sql(node, "select count(*) from defaultdb.filler") == rows
        await store.delete()

        store = await ordered(bench.user, f"raw-{trial}", bench.gib)
        await store.until_started(WITHIN)
        node = await bench.machine_of(store)
        await raw.empty(node, bench.node)
        start = time.monotonic()
        await raw.restore(node)
        bench.found.took("restore, raw", time.monotonic() - start)
        assert await raw.sql(node, "select count(*) from defaultdb.filler") == rows
        await store.delete()


async def times(node: Node) -> tuple[float, float]:
    """When the node began to restore, and when its server was opened for writes, by its journal."""
    started = await node.do("journalctl -q -o short-unix -u ccx-mariadb --no-pager", "root")
    opened = await node.do("journalctl -q -o short-unix -u ccx-keeper --no-pager", "root")
    began = next(float(line.split()[0]) for line in started.splitlines() if "Starting ccx-mariadb.service" in line)
    return began, next(float(line.split()[0]) for line in opened.splitlines() if "promote: " in line)


def _when(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def show(bench: Bench) -> list[dict[str, Any]]:
    rows = []
    for what, goal in (("full", ">= 0.95 x throughput"), ("restore", "<= 1.15 x time")):
        hand, ours = bench.found.median(f"{what}, raw"), bench.found.median(what)
        assert hand is not None
        assert ours is not None
        ratio = hand / ours if what == "full" else ours / hand
        rows.append({"what": what, "raw": hand, "ours": ours, "ratio": ratio, "goal": goal})
    print(f"\nMariaDB, {bench.gib:g} GiB; seconds, medians")
    head = ("what", "raw", "CCX", "ratio", "to reach")
    print(report.table(head, [(r["what"], r["raw"], r["ours"], r["ratio"], r["goal"]) for r in rows]))
    print("\nparts, seconds, medians")
    print(report.table(("what", "s"), [(what, bench.found.median(what)) for what in bench.found.seconds]))
    return rows


async def measure(gib: float, trials: int) -> Bench:
    await asyncio.to_thread(ensure_image, "baked-mariadb")
    async with tenant("mbackup", "--set", "auto_repair.enabled=false", *choose("mariadb").settings()) as user:
        store = await ordered(user, "measured", gib)
        await store.until_started(240)
        local = LocalSide(user.installed)
        try:
            node = Node(await local.init_of((await store.connection())["nodes"][0]["address"]))
            bench = Bench(user, store, local, node, gib, Found())
            await fill(bench)
            # The first one makes the way to the store.
            await bench.ended((await store.call("POST", BACKUPS, {"backup_type": "full"}))["job_id"])
            await restores(bench, await backups(bench, trials), trials)
            return bench
        finally:
            await local.cloud.close()


def main() -> None:
    parser = report.arguments(__doc__, trials=2)
    parser.add_argument("--size", type=float, default=5.0, metavar="GIB", help="of data (default: %(default)s)")
    options, about = parser.parse_args(), report.machine()
    bench = asyncio.run(measure(options.size, options.trials))
    rows = show(bench)
    report.write(options.json, about, gib=options.size, seconds=bench.found.seconds, ratios=rows)


if __name__ == "__main__":
    main()
