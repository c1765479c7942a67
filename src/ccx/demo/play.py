"""The main job, from create to delete, with a failure in the middle; every claim is checked as it is made."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.resolver
import psycopg

from ccx.clouds.base import ResourceKind
from ccx.clouds.local.driver import LocalCloud
from ccx.demo.stage import Stage, Unexpected, parameters
from ccx.demo.writer import Writer
from ccx.settings import Settings, load

INSTANCE = "demo"
NAME = "orders"
REPAIR_AFTER = 3
"""Seconds; an installation waits 300."""


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def start(stage: Stage) -> Settings:
    """The control plane, and a user in it."""
    with stage.scene("start the control plane") as said:
        stage.run(
            "up", "--detach", "--instance", INSTANCE, "--listen", f"127.0.0.1:{free_port()}",
            "--set", f"auto_repair.delay={REPAIR_AFTER}",
        )  # fmt: skip
        settings = load(INSTANCE)
        said["outcome"] = settings.public_url
    return settings


def sign_up(stage: Stage, password_file: Path) -> None:
    login = f"ada-{int(time.time())}@example.net"
    stage.run("login", "--instance", INSTANCE, "--sign-up", "--login", login, "--password-file", str(password_file))


def create(stage: Stage, client: str) -> None:
    with stage.scene("create a three-node PostgreSQL 17 datastore") as said:
        stage.run(
            "datastore", "create", NAME, "--vendor", "postgres", "--version", "17", "--nodes", "3",
            "--size", "tiny", "--volume-size", "10", "--allow", client,
        )  # fmt: skip
        store = stage.ask("datastore", "show", NAME)
        stage.expect(store["cluster_status"] == "STARTED", "the datastore is STARTED")
        said["outcome"] = f"{NAME} is STARTED with {store['cluster_size']} nodes"


def connect(stage: Stage, settings: Settings) -> list[dict[str, str]]:
    """As an application would: by name, with the certificate verified. Returns every node's connection parameters."""
    with stage.scene("connect as an application would") as said:
        store = stage.ask("datastore", "show", NAME)
        nodes = parameters(stage.ask("datastore", "url", NAME))
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [settings.resolver_address]
        for name, writable in ((store["primary_url"], True), (store["replica_url"], False)):
            address = str(resolver.resolve(name, "A")[0])
            with psycopg.connect(**{**nodes[0], "host": name, "hostaddr": address}) as connection:
                replica = connection.execute("select pg_is_in_recovery()").fetchone() == (True,)
                stage.expect(
                    replica is not writable, f"{name} is a {'primary' if writable else 'replica'} at {address}"
                )
        said["outcome"] = "TLS verify-full, by the names of primary and replicas"
    return nodes


def survive(stage: Stage, settings: Settings, nodes: list[dict[str, str]]) -> None:
    """Kills the primary's machine under a constant writer."""
    with stage.scene("kill the primary's machine while rows are written") as said, Writer(nodes) as writer:
        writer.wait_for(400, timeout=30)
        primary = _primary(stage)
        kill(settings, primary["private_ip"])
        stage.say(f"killed the machine of {primary['hostname']} ({primary['private_ip']})")
        writer.wait_for(400, timeout=90)
        gap = writer.gap()
        writer.stop()
        with psycopg.connect(**_read_write(nodes)) as connection:
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
        with psycopg.connect(**_read_write(nodes_now(stage))) as connection:
            synchronous = connection.execute(
                "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')"
            ).fetchone()
        copies = synchronous[0] if synchronous else 0
        stage.expect(copies >= 1, f"one replica at least is synchronous: a write waits for any 1 of {copies}")
        said["outcome"] = "STARTED again: one primary, two replicas, a synchronous copy"


def delete(stage: Stage, settings: Settings) -> None:
    with stage.scene("delete the datastore") as said:
        short_id = str(stage.ask("datastore", "show", NAME)["primary_url"]).split(".", 1)[0]
        stage.run("datastore", "delete", NAME, "--yes")
        left = resources(settings, short_id)
        stage.expect(not left, f"the cloud holds nothing of it{': ' + ', '.join(left) if left else ''}")
        said["outcome"] = "no server, volume, address or firewall is left"


def kill(settings: Settings, address: str) -> None:
    """Kills the machine of that address behind the control plane's back, as a failing host would."""

    async def found_and_killed(cloud: LocalCloud) -> None:
        for resource in await cloud.inventory(settings.instance):
            if resource.kind is ResourceKind.SERVER:
                server = await cloud.get_server(resource.name)
                if server is not None and server.private_ip == address:
                    return await cloud.kill(server.name)
        raise Unexpected(f"the cloud has a machine at {address}")

    _with_cloud(settings, found_and_killed)


def resources(settings: Settings, short_id: str) -> list[str]:
    """What exists on the cloud for a datastore, by the cloud's own word."""
    found = _with_cloud(settings, lambda cloud: cloud.inventory(settings.instance))
    return [f"{r.kind} {r.name}" for r in found if r.tags.datastore == short_id or short_id in r.name]


def nodes_now(stage: Stage) -> list[dict[str, str]]:
    return parameters(stage.ask("datastore", "url", NAME))


def until(condition: Callable[[], str | None], *, within: float, what: str) -> None:
    """Waits until ``condition`` finds nothing missing. Unexpected, with what it found last, after ``within`` s."""
    deadline = time.monotonic() + within
    while (missing := condition()) is not None:
        if time.monotonic() > deadline:
            raise Unexpected(f"{what}: after {within:.0f} s, {missing}")
        time.sleep(0.5)


def _whole(stage: Stage, lost: str) -> str | None:
    store = stage.ask("datastore", "show", NAME)
    if store["cluster_status"] != "STARTED":
        return f"it is {store['cluster_status']}: {store['cluster_status_text']}"
    present = [m["host_uuid"] for m in stage.ask("node", "list", NAME)]
    return f"the lost node is still there beside {len(present) - 1} others" if lost in present else None


def _primary(stage: Stage) -> dict[str, Any]:
    return next(m for m in stage.ask("node", "list", NAME) if m["role"] == "primary")


def _read_write(nodes: list[dict[str, str]]) -> dict[str, Any]:
    joined = {key: ",".join(n[key] for n in nodes) for key in ("host", "hostaddr")}
    return {**nodes[0], **joined, "target_session_attrs": "read-write"}


def _with_cloud(settings: Settings, ask: Callable[[LocalCloud], Any]) -> Any:
    import asyncio

    async def asked() -> Any:
        cloud = LocalCloud(settings.paths.run / "cloud.sock", "local")
        try:
            return await ask(cloud)
        finally:
            await cloud.close()

    return asyncio.run(asked())
