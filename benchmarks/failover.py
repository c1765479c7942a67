"""How long writes stop when the primary's machine is lost, by who helps: the control plane, a raw script, or nobody.

``python benchmarks/failover.py [--vendor mariadb] [--topology galera] [--trials 10] [--json FILE]``, as root. One
three-node datastore, a writer that sends 200 rows a second, and in each trial one loss of the primary:

- ``reported``: the machine dies and the cloud says so;
- ``probed``: it dies and the cloud keeps that to itself, so that only probes can tell;
- ``cut``: its network is cut and it lives on.

The control plane is then stopped, and the same machines die for a raw script (it has the machine's end confirmed by the
cloud and revokes its lease in etcd) and for Patroni alone. MariaDB's nodes have a keeper of ours, and no script to be
compared with: they are alone then. After each trial: no acknowledged write is lost, and at no time two primaries
accepted writes.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import report
from installation import tenant
from tests.e2e.machine import eventually
from tests.e2e.tenant import Store, Tenant

from ccx.clouds.base import Firewall, ServerState, Tags
from ccx.clouds.local import LocalCloud
from ccx.cmon import engines
from ccx.cmon.endpoints import SSH_TO_NODES
from ccx.cmon.engines.base import Engine
from ccx.cmon.spec import ClusterSpec
from ccx.cmon.ssh_channel import SshChannel
from ccx.db import make_engine, make_session_factory
from ccx.demo import Writer
from ccx.demo.choice import Choice, choose
from ccx.dns.dnsmasq import DnsmasqWriter
from ccx.errors import CcxError, Transient
from ccx.runner.services import Installation, Services
from ccx.runner.steps.network import rules
from ccx.runner.subject import Subject
from ccx.secrets import KeyRing, Vault
from ccx.settings import load

WRITES_AGAIN_WITHIN = 120.0
WHOLE_WITHIN = 180.0
BEFORE, AFTER = 100, 200
"""Rows acknowledged before the loss and after it."""


@dataclass
class Bench:
    """A datastore, and this machine's own way to its cloud, its failover managers and its etcd."""

    user: Tenant
    store: Store
    subject: Subject
    cluster: ClusterSpec
    choice: Choice
    nodes: dict[str, Mapping[str, Any]]
    """The client library's parameters, by node's label."""
    cloud: LocalCloud
    engine: Engine
    gaps: dict[str, list[float]] = field(default_factory=dict)

    def server(self, label: str) -> str:
        return next(n.server for n in self.subject.datastore.nodes if n.label == label)

    def tags(self) -> Tags:
        """With the highest token that the cloud has seen: nobody is made stale by us, nor are we by anybody."""
        seen = json.loads((self.user.installed.layout.var / "cloud" / "state.json").read_text())["tokens"]
        return self.subject.tags(seen[self.subject.datastore.short_id])

    async def primary(self) -> str:
        """Label of the primary, once the cluster is whole."""

        async def whole() -> str | None:
            view = await self.engine.observe(self.cluster)
            return view.primary.label if view.primary is not None and not view.problems else None

        found: str = await eventually(whole, WHOLE_WITHIN, every=0.3, what="the cluster is whole")
        return found

    async def trial(self, what: str, loses: Loss) -> None:
        """One loss of the primary under a writer; checks it, and makes the cluster whole again."""
        lost, writer = await self.primary(), Writer(list(self.nodes.values()), client=self.choice.client)
        await asyncio.to_thread(writer.start)
        try:
            await asyncio.to_thread(writer.wait_for, BEFORE, 60)
            await loses(self, lost)
            await asyncio.to_thread(writer.wait_for, AFTER, WRITES_AGAIN_WITHIN)
        finally:
            await asyncio.to_thread(writer.stop)
            await self.cloud.silence(False)
        now = (await self.engine.observe(self.cluster)).primary
        assert now is not None, f"{what}: nobody accepts writes"
        await asyncio.to_thread(self._check, what, writer, now.label)
        self.gaps.setdefault(what, []).append(writer.gap())
        report.say(f"{what}: {writer.gap():.2f} s")
        await self.cloud.heal(self.server(lost))
        await self.cloud.power_on(self.server(lost), self.tags())
        await self.primary()

    def _check(self, what: str, writer: Writer, primary: str) -> None:
        with self.choice.client.connect(self.nodes[primary]) as session:
            lost = writer.lost(session)
        assert not lost, f"{what}: acknowledged writes were lost: {lost[:10]}"
        assert not writer.overlapping_primaries(), f"{what}: two primaries accepted writes"


Loss = Callable[[Bench, str], Awaitable[None]]


async def dies(bench: Bench, label: str) -> None:
    await bench.cloud.kill(bench.server(label))


async def dies_unreported(bench: Bench, label: str) -> None:
    await bench.cloud.silence(True)
    await dies(bench, label)


async def is_cut(bench: Bench, label: str) -> None:
    await bench.cloud.cut(bench.server(label))


async def dies_and_is_revoked(bench: Bench, label: str) -> None:
    await dies(bench, label)
    await _revoke(bench, label)


async def is_cut_and_revoked(bench: Bench, label: str) -> None:
    await is_cut(bench, label)
    await _revoke(bench, label)


async def _revoke(bench: Bench, label: str) -> None:
    """What a script does that knows at once whom it is about: off, confirmed, and its lease ended."""
    await bench.cloud.power_off(bench.server(label), bench.tags())
    found = await bench.cloud.get_server(bench.server(label))
    assert found is not None
    assert found.state is ServerState.STOPPED
    while True:
        try:
            await bench.engine.release_leader(bench.cluster, label)
            return
        except (Transient, CcxError):
            continue


WITH_CONTROL_PLANE: dict[str, Loss] = {
    "control plane, reported": dies,
    "control plane, probed": dies_unreported,
    "control plane, cut": is_cut,
}
WITHOUT: dict[str, Loss] = {
    "raw revoke, dies": dies_and_is_revoked,
    "raw revoke, cut": is_cut_and_revoked,
    "Patroni alone, dies": dies,
    "Patroni alone, cut": is_cut,
}
ALONE: dict[str, Loss] = {"nodes alone, dies": dies, "nodes alone, cut": is_cut}
GOALS = {"replication": 6.0, "galera": 4.0}
"""Seconds without a write, median, of MariaDB whose primary dies; with a control plane."""


async def prepare(user: Tenant, folder: Path, choice: Choice) -> Bench:
    """Creates the datastore, and opens its nodes' failover managers and etcd to this machine."""
    store = await user.create("orders", 3, vendor=choice.database.code, topology=choice.topology.code)
    installed = user.installed
    settings = load(installed.instance)
    database = make_engine(settings.dsn.replace("//ccx@", "//postgres@"))
    cloud = LocalCloud(installed.layout.cloud_socket)
    key = (settings.paths.etc / "ssh.key").read_text()
    services = Services(
        settings=settings,
        sessions=make_session_factory(database),
        vault=Vault(KeyRing.load(settings.paths.etc / "wrapping.key")),
        clouds={"local": cloud},
        channel=SshChannel(key, lambda host, port: SSH_TO_NODES.check(host, port, settings)),
        names=DnsmasqWriter(installed.layout.cloud_socket),
        installation=Installation("", "", "", ""),
        engine=lambda vendor, topology="": engines.get(vendor, settings, topology),
    )
    subject = await Subject.load(services, store.uuid)
    cluster = await subject.cluster()
    await database.dispose()
    host = str(installed.layout.host)
    own, ours = (
        rules(s, subject.engine, [host]) for s in (settings, settings.model_copy(update={"control_address": host}))
    )
    nodes = await parameters(store, folder, choice)
    bench = Bench(user, store, subject, cluster, choice, nodes, cloud, subject.engine)
    await cloud.put_firewall(Firewall(subject.firewall_name, tuple(sorted({*own, *ours}))), bench.tags())
    return bench


async def parameters(store: Store, folder: Path, choice: Choice) -> dict[str, Mapping[str, Any]]:
    """Of each node, by its label, for the client's library."""
    if choice.database.code == "postgres":
        return {node["host"].split(".")[0]: node for node in await store.parameters(folder)}
    told = await store.connection()
    ca = folder / "ca.crt"
    ca.write_text(told["ca"])
    told |= {"ssl-ca": str(ca)}
    return {
        node["host"].split(".")[0]: choice.client.parameters(told, node["host"], node["address"])
        for node in told["nodes"]
    }


async def measure(trials: int, choice: Choice) -> dict[str, list[float]]:
    without = WITHOUT if choice.database.code == "postgres" else ALONE
    with tempfile.TemporaryDirectory(prefix="ccx-bench-") as folder:
        async with tenant("fail", "--set", "auto_repair.enabled=false", *choice.settings()) as user:
            bench = await prepare(user, Path(folder), choice)
            try:
                for _ in range(trials):
                    for what, loses in WITH_CONTROL_PLANE.items():
                        await bench.trial(what, loses)
                await user.installed.down()
                for _ in range(trials):
                    for what, loses in without.items():
                        await bench.trial(what, loses)
            finally:
                await bench.cloud.close()
    return bench.gaps


def verdicts(gaps: dict[str, list[float]], choice: Choice) -> dict[str, bool]:
    """What was to be reached, and whether it was."""
    middle = {what: median(values) for what, values in gaps.items()}
    if (goal := GOALS.get(choice.topology.code)) is not None:
        found = middle["control plane, reported"]
        return {
            f"reported: median {found:.2f} s (to reach: {goal:g} s)": found <= goal,
            "acknowledged writes lost: 0; never two primaries": True,
        }
    alone = min(*gaps["Patroni alone, dies"], *gaps["Patroni alone, cut"])
    reported = middle["control plane, reported"] / middle["raw revoke, dies"]
    return {
        f"reported: {reported:.2f}x raw revoke (to reach: 1.2x)": reported <= 1.2,
        "probed: median <= 8 s": middle["control plane, probed"] <= 8,
        "cut: median <= 8 s": middle["control plane, cut"] <= 8,
        "no trial took longer than Patroni alone": all(
            max(gaps[what]) <= alone for what in WITH_CONTROL_PLANE
        ),
        "acknowledged writes lost: 0; never two primaries": True,
    }  # fmt: skip


def main() -> None:
    parser = report.arguments(__doc__, trials=10)
    parser.add_argument("--vendor", default="postgres", help="(default: %(default)s)")
    parser.add_argument("--topology", default="", help="the vendor's usual one unless given")
    given = parser.parse_args()
    choice, about = choose(given.vendor, given.topology), report.machine()
    print(f"{choice}, three nodes")
    gaps = asyncio.run(measure(given.trials, choice))
    rows = [[what, median(values), min(values), max(values), len(values)] for what, values in gaps.items()]
    print(report.table(["gap in writes (s)", "median", "min", "max", "trials"], rows))
    reached = verdicts(gaps, choice)
    print("\n".join(f"{'reached' if held else 'MISSED '}  {what}" for what, held in reached.items()))
    report.write(given.json, about, of=str(choice), gaps=gaps, reached=reached)


if __name__ == "__main__":
    main()
