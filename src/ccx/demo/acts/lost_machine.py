"""The primary's machine is lost under a constant writer, and replaced."""

from __future__ import annotations

from typing import Any

from ccx.demo import backstage
from ccx.demo.application import connect, nodes_now, read_write
from ccx.demo.stage import NAME, Stage, until
from ccx.demo.writer import Writer
from ccx.settings import Settings


def survive(stage: Stage, settings: Settings) -> None:
    nodes = nodes_now(stage)
    with stage.scene("kill the primary's machine while rows are written") as said, Writer(nodes) as writer:
        writer.wait_for(400, timeout=30)
        primary = _primary(stage)
        backstage.kill(settings, primary["private_ip"])
        stage.say(f"killed the machine of {primary['hostname']} ({primary['private_ip']})")
        writer.wait_for(400, timeout=90)
        gap = writer.gap()
        writer.stop()
        with connect(read_write(nodes)) as connection:
            lost = writer.lost(connection)
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
        with connect(read_write(nodes_now(stage))) as connection:
            synchronous = connection.execute(
                "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')"
            ).fetchone()
        copies = synchronous[0] if synchronous else 0
        stage.expect(copies >= 1, f"one replica at least is synchronous: a write waits for any 1 of {copies}")
        said["outcome"] = "STARTED again: one primary, two replicas, a synchronous copy"


def _whole(stage: Stage, lost: str) -> str | None:
    store = stage.ask("datastore", "show", NAME)
    if store["cluster_status"] != "STARTED":
        return f"it is {store['cluster_status']}: {store['cluster_status_text']}"
    present = [m["host_uuid"] for m in stage.ask("node", "list", NAME)]
    return f"the lost node is still there beside {len(present) - 1} others" if lost in present else None


def _primary(stage: Stage) -> dict[str, Any]:
    return next(m for m in stage.ask("node", "list", NAME) if m["role"] == "primary")
