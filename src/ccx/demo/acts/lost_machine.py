"""The primary's machine is lost under a constant writer, and replaced."""

from __future__ import annotations

from typing import Any

from ccx.demo import backstage
from ccx.demo.application import nodes_now
from ccx.demo.client import Client, Parameters
from ccx.demo.stage import NAME, Stage, until
from ccx.demo.writer import Writer
from ccx.settings import Settings


def survive(stage: Stage, settings: Settings, client: Client) -> None:
    nodes = nodes_now(stage, client)
    writer = Writer(nodes, client=client)
    with stage.scene("kill the primary's machine while rows are written") as said, writer:
        writer.wait_for(400, timeout=120)
        primary = _primary(stage)
        backstage.kill(settings, primary["private_ip"])
        stage.say(f"killed the machine of {primary['hostname']} ({primary['private_ip']})")
        writer.wait_for(400, timeout=120)
        gap = writer.gap()
        writer.stop()
        last = writer.acknowledged[-1].server.rpartition(":")[0]
        with client.connect(_at(client, nodes, last)) as session:
            lost = writer.lost(session)
        stage.say(f"rows acknowledged: {len(writer.acknowledged)}, gap in writes: {gap:.1f} s")
        stage.expect(not lost, f"acknowledged writes lost: {len(lost)}")
        stage.expect(not writer.overlapping_primaries(), "at no time two primaries accepted writes")
        said["outcome"] = f"gap in writes {gap:.1f} s, acknowledged writes lost: {len(lost)}"

    with stage.scene("the lost node is replaced") as said:
        until(lambda: _whole(stage, primary["host_uuid"]), within=180, what="the datastore is STARTED with a new node")
        members = stage.ask("node", "list", NAME)
        stage.run("node", "list", NAME)
        roles = sorted(m["role"] for m in members)
        stage.expect(roles == ["primary", "replica", "replica"], "one primary and two replicas")
        copies = client.copies(_at(client, nodes_now(stage, client), _primary(stage)["private_ip"]))
        stage.expect(copies.number >= 1, copies.said)
        said["outcome"] = "STARTED again: one primary, two replicas, a synchronous copy"


def _whole(stage: Stage, lost: str) -> str | None:
    store = stage.ask("datastore", "show", NAME)
    if store["cluster_status"] != "STARTED":
        return f"it is {store['cluster_status']}: {store['cluster_status_text']}"
    present = [m["host_uuid"] for m in stage.ask("node", "list", NAME)]
    return f"the lost node is still there beside {len(present) - 1} others" if lost in present else None


def _primary(stage: Stage) -> dict[str, Any]:
    return next(m for m in stage.ask("node", "list", NAME) if m["role"] == "primary")


def _at(client: Client, nodes: list[Parameters], address: str) -> Parameters:
    return next(node for node in nodes if node[client.address] == address)
