"""What the kernels saw: of every installation that tests use, all of it must be declared."""

from __future__ import annotations

from typing import Any

from tests.e2e.machine import Installed
from tests.e2e.tenant import operator

USED = {
    "cmon.ssh", "postgres.patroni", "postgres.etcd", "node.control-plane", "node.dns-udp", "postgres.peers.etcd",
    "postgres.peers.replication",
}  # fmt: skip
"""The rows that making a cluster of three goes by."""
OUTDATED = {"ccx-etcd.service", "ccx-patroni.service"}
"""What may look for a member a while after it was replaced."""


async def observed(installed: Installed, query: str = "") -> dict[str, Any]:
    """As ``ccx network observed`` gets it. Of nodes that are about to go, it is the last word that is kept."""
    async with operator(installed) as asker:
        told: dict[str, Any] = await asker.call("GET", f"admin/network/observed?since=86400{query}")
    return told


async def nothing_undeclared(installed: Installed) -> None:
    """Everything that was connected to is in the plan, and nothing was refused but what tests tried on purpose.

    A new etcd member reads in the log of the one that it takes the place of, and tries to reach it; Patroni asks the
    members that it knows of until it hears of the change.
    """
    told = await observed(installed)
    gone = {address for (address,) in await installed.query("select address from stores.node where status = 'retired'")}
    found = [
        {key: connection[key] for key in ("verdict", "source", "units", "user", "address", "port", "rows", "last_seen")}
        for connection in told["connections"]
        if connection["verdict"] != "declared"
        and (connection["address"], connection["port"]) not in installed.intrusions
        and not (set(connection["units"]) <= OUTDATED and connection["units"] and connection["address"] in gone)
    ]
    assert not found, found
