"""A connection as applications make it."""

from __future__ import annotations

from ccx.demo.application import by_name
from ccx.demo.client import Client
from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def try_names(stage: Stage, settings: Settings, client: Client) -> None:
    """By the names of primary and replicas, with the certificate verified."""
    with stage.scene("connect as an application would") as said:
        store = stage.ask("datastore", "show", NAME)
        for name, writable in ((store["primary_url"], True), (store["replica_url"], False)):
            resolved = by_name(stage, settings, client, name)
            role = "primary" if writable else "replica"
            there = f"{name} is a {role} at {resolved[client.address]}"
            stage.expect(client.is_replica(resolved) is not writable, there)
        said["outcome"] = "TLS verify-full, by the names of primary and replicas"
