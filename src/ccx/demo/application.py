"""How an application of a user's reaches their datastore: by what ``ccx datastore url`` tells, and by its names."""

from __future__ import annotations

import dns.resolver

from ccx.demo.client import Client, Parameters
from ccx.demo.stage import NAME, Stage
from ccx.settings import Settings


def nodes_now(stage: Stage, client: Client) -> list[Parameters]:
    """Of each node by itself."""
    told = _told(stage)
    members = stage.ask("node", "list", NAME)
    return [client.parameters(told, one["hostname"], one["private_ip"]) for one in members if one["private_ip"]]


def by_name(stage: Stage, settings: Settings, client: Client, name: str) -> Parameters:
    """Of whatever the name leads to now, as the installation's DNS says; the address is all that comes from there."""
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [settings.resolver_address]
    return client.parameters(_told(stage), name, str(resolver.resolve(name, "A")[0]))


def _told(stage: Stage) -> Parameters:
    told: Parameters = stage.ask("datastore", "url", NAME)["parameters"]
    return told
