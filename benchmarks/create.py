"""How long a create takes: three nodes through the control plane, beside a raw script that does the same without one.

``benchmarks/create.py [--vendor mariadb] [--topology galera] [--trials 3] [--stock] [--json FILE]``, as root. Both
run on one installation's local cloud, in turns; with ``--stock`` from the stock image, through the same mirror. The
control plane's time is from the order to STARTED, as its API shows it; the stages are the job's steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime
from statistics import median
from typing import Any

import report
from installation import tenant
from raw import ByHand, RawCluster
from raw_mariadb import GaleraByHand, KeepersByHand, ReplicationByHand
from raw_postgres import PostgresByHand
from tests.e2e.machine import eventually
from tests.e2e.tenant import Tenant

from ccx.clouds.local import LocalCloud
from ccx.clouds.local.image import ensure_image
from ccx.clouds.local.place import Place
from ccx.demo.choice import Choice, choose
from ccx.settings import Settings, load

STAGES = ("order", "machines", "boot", "packages", "configure", "start", "form", "users", "publish", "total")
TARGETS = {"postgres_streaming": 1.3, "replication": 1.2, "galera": 1.0}
"""By topology: how much longer it may take than by hand."""
TARGET_SECONDS = 15.0

# The last step of each stage, in order: a stage lasts until all of its steps have ended.
_ENDS = (
    ("machines", ("reserve", "firewall", "volume", "server")),
    ("boot", ("boot",)),
    ("packages", ("certificates", "packages")),
    ("configure", ("probe", "configure")),
    ("start", ("start",)),
    ("form", ("form",)),
    ("users", ("users",)),
    ("publish", ("names", "open", "started")),
)


async def through_the_control_plane(user: Tenant, name: str, choice: Choice) -> dict[str, float]:
    """Seconds by stage of one create; the datastore is gone afterwards."""
    ordered, started = time.time(), time.monotonic()
    store = await user.order(name, 3, choice.database.code, choice.topology.code)

    async def serves() -> bool:
        shown = await store.show()
        assert shown["cluster_status"] not in ("DEPLOY_FAILED", "DELETED"), shown["cluster_status_text"]
        return bool(shown["cluster_status"] == "STARTED")

    await eventually(serves, within=900, every=0.25, what="the datastore is STARTED")
    total = time.monotonic() - started
    job = await store.job("JOB_TYPE_DEPLOY_DATASTORE")
    stages = {**_stages(job, ordered), "total": total}
    await store.delete()
    return stages


def _stages(job: dict[str, Any], ordered: float) -> dict[str, float]:
    last = _time(job["started_at"])
    stages = {"order": last - ordered}
    for stage, words in _ENDS:
        ends = [_time(s["finished_at"]) for s in job["steps"] if s["name"].split()[0] in words and s["finished_at"]]
        ended = max(ends, default=last)
        stages[stage], last = ended - last, ended
    return stages


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def kinds_of(choice: Choice) -> dict[str, Callable[[Place], ByHand]]:
    """By name. The first one does what CCX does; the other one, where there is one, has no failover."""
    if choice.topology.code == "galera":
        return {"raw": lambda _: GaleraByHand()}
    if choice.topology.code == "replication":
        return {"raw": KeepersByHand, "raw, no failover": lambda _: ReplicationByHand()}
    return {"raw": PostgresByHand}


async def by_hand(place: Place, cloud: LocalCloud, kind: ByHand, stock: Settings | None) -> dict[str, float]:
    """Seconds by stage of one raw create; its machines are gone afterwards."""
    cluster, started = RawCluster(place, cloud, kind, settings=stock), time.monotonic()
    try:
        await cluster.create()
        return {**cluster.stages, "total": time.monotonic() - started}
    finally:
        await cluster.remove()


async def measure(trials: int, choice: Choice, image: str) -> dict[str, list[dict[str, float]]]:
    measured: dict[str, list[dict[str, float]]] = {"control plane": [], **{name: [] for name in kinds_of(choice)}}
    if choice.database.code == "mariadb" and image == "baked":
        await asyncio.to_thread(ensure_image, "baked-mariadb")
    async with tenant("create", "--image", image, *choice.settings()) as user:
        layout = user.installed.layout
        stock = load(layout.instance) if image == "stock" else None
        cloud = LocalCloud(layout.cloud_socket)
        place = Place(layout.instance, layout.subnet)
        for trial in range(1, trials + 1):
            for name, kind in kinds_of(choice).items():
                measured[name].append(await by_hand(place, cloud, kind(place), stock))
                report.say(f"trial {trial}: {name} {measured[name][-1]['total']:.1f} s")
            measured["control plane"].append(await through_the_control_plane(user, f"bench-{trial}", choice))
            report.say(f"trial {trial}: control plane {measured['control plane'][-1]['total']:.1f} s")
        await cloud.close()
    return measured


def main() -> None:
    parser = report.arguments(__doc__, trials=3)
    parser.add_argument("--stock", action="store_true", help="nodes start with cloud-init only")
    parser.add_argument("--vendor", default="postgres", help="(default: %(default)s)")
    parser.add_argument("--topology", default="", help="the vendor's usual one unless given")
    given = parser.parse_args()
    choice, about = choose(given.vendor, given.topology), report.machine()
    measured = asyncio.run(measure(given.trials, choice, "stock" if given.stock else "baked"))
    medians = {
        kind: {stage: median(t[stage] for t in trials) for stage in STAGES if stage in trials[0]}
        for kind, trials in measured.items()
    }
    rows = [[stage, *(medians[kind].get(stage) for kind in measured)] for stage in STAGES]
    print(report.table([f"create {choice}, median of {given.trials} (s)", *measured], rows))
    total = medians["control plane"]["total"]
    ratios = {name: total / medians[name]["total"] for name in kinds_of(choice)}
    seconds = f" (to reach, quiet: {TARGET_SECONDS:g} s)" * (given.vendor == "postgres" and not given.stock)
    for name, ratio in ratios.items():
        print(f"{ratio:.2f}x {name} (to reach: {TARGETS[choice.topology.code]:g}x)")
    print(f"{total:.1f} s{seconds}")
    report.write(given.json, about, of=str(choice), stock=given.stock, trials=measured, medians=medians, ratios=ratios)


if __name__ == "__main__":
    main()
