"""How an application of a user's reaches their datastore: libpq's parameters, from ``ccx datastore url``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dns.resolver
import psycopg
from psycopg import Connection, sql

from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def connect(parameters: Mapping[str, Any]) -> Connection[Any]:
    """As context manager: commits at its end, and closes. Raises psycopg.OperationalError."""
    return psycopg.connect(**parameters)


def nodes_now(stage: Stage) -> list[dict[str, str]]:
    """Of each node by itself."""
    whole: dict[str, str] = stage.ask("datastore", "url", NAME)["parameters"]
    hosts, addresses = whole["host"].split(","), whole["hostaddr"].split(",")
    rest = {k: v for k, v in whole.items() if k not in ("host", "hostaddr", "target_session_attrs")}
    return [{**rest, "host": host, "hostaddr": address} for host, address in zip(hosts, addresses, strict=True)]


def read_write(nodes: list[dict[str, str]]) -> dict[str, Any]:
    """Of whichever of them accepts writes."""
    joined = {key: ",".join(n[key] for n in nodes) for key in ("host", "hostaddr")}
    return {**nodes[0], **joined, "target_session_attrs": "read-write"}


def by_name(stage: Stage, settings: Settings, name: str) -> dict[str, str]:
    """Of whatever the name leads to now, as the installation's DNS says; ``hostaddr`` is all that comes from there."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [settings.resolver_address]
    return {**nodes_now(stage)[0], "host": name, "hostaddr": str(resolver.resolve(name, "A")[0])}


def count(connection: Connection[Any], table: str) -> int:
    row = connection.execute(sql.SQL("select count(*) from {}").format(sql.Identifier(table))).fetchone()
    return int(row[0]) if row else 0
