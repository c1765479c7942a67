"""A connection as applications make it."""

from __future__ import annotations

from ccx.demo.application import by_name, connect
from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def try_names(stage: Stage, settings: Settings) -> None:
    """By the names of primary and replicas, with the certificate verified."""
    with stage.scene("connect as an application would") as said:
        store = stage.ask("datastore", "show", NAME)
        for name, writable in ((store["primary_url"], True), (store["replica_url"], False)):
            resolved = by_name(stage, settings, name)
            with connect(resolved) as connection:
                replica = connection.execute("select pg_is_in_recovery()").fetchone() == (True,)
            role = "primary" if writable else "replica"
            stage.expect(replica is not writable, f"{name} is a {role} at {resolved['hostaddr']}")
        said["outcome"] = "TLS verify-full, by the names of primary and replicas"
