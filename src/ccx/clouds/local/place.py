"""Where an instance's local cloud has what on this machine: folders, namespaces, links, addresses. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from ccx.errors import Invalid

FIRST_NODE = 256
"""Offset of the first node's address in the instance's network."""

SUBNET_BITS = 20
LAST_NODE = (1 << (32 - SUBNET_BITS)) - 2

OUTSIDE_LINKS = "ccxo"
"""What the host's ends of all instances' ways out begin with."""


@dataclass(frozen=True)
class Place:
    """One instance. Raises Invalid for a name or a network that can't be one's."""

    instance: str
    subnet: IPv4Network

    def __post_init__(self) -> None:
        if self.instance.endswith("-cloud"):  # its namespace would be another instance's router
            raise Invalid(f"{self.instance!r} can't name an instance", remedy="Take a name that doesn't end in -cloud")
        if self.subnet.prefixlen != SUBNET_BITS:
            raise Invalid(
                f"{self.subnet} is no /{SUBNET_BITS}", field="subnet", remedy="Give a /20, such as 10.230.0.0/20"
            )

    @cached_property
    def var(self) -> Path:
        """Durable state."""
        return Path("/var/lib/ccx") / self.instance / "cloud"

    @cached_property
    def run(self) -> Path:
        return Path("/run/ccx") / self.instance

    @property
    def socket(self) -> Path:
        return self.run / "cloud.sock"

    @property
    def pid_file(self) -> Path:
        return self.run / "cloud.pid"

    @property
    def zones(self) -> Path:
        """Where dnsmasq reads names from, one file per datastore."""
        return self.run / "names"

    @property
    def volumes(self) -> Path:
        return self.var / "volumes"

    @property
    def machines(self) -> Path:
        return self.var / "machines"

    @property
    def router(self) -> IPv4Address:
        """The router towards everybody, and the DNS server."""
        return self.subnet[1]

    @property
    def control(self) -> IPv4Address:
        return self.subnet[2]

    @property
    def host(self) -> IPv4Address:
        """The machine itself; its programs appear from here."""
        return self.subnet[3]

    @property
    def mirror(self) -> IPv4Address:
        """The package mirror, which nodes of the stock image install from."""
        return self.subnet[4]

    @property
    def outside(self) -> IPv4Address:
        """Where the control plane leaves this machine from, before the host puts its own address there."""
        return self.subnet[14]

    @property
    def outside_host(self) -> IPv4Address:
        """The host's end of that way."""
        return self.subnet[15]

    def node(self, slot: int) -> IPv4Address:
        """Address of the node in ``slot``."""
        return self.subnet[slot]

    @property
    def router_namespace(self) -> str:
        return f"ccx-{self.instance}-cloud"

    @property
    def control_namespace(self) -> str:
        return f"ccx-{self.instance}"

    @property
    def node_prefix(self) -> str:
        """What all nodes' namespaces begin with. The dot is in no instance's name."""
        return f"{self.router_namespace}."

    def node_namespace(self, slot: int) -> str:
        return f"{self.node_prefix}{slot}"

    @property
    def host_link(self) -> str:
        """The host's end of its link to the router: unique on the machine, within a device name's 15 characters."""
        return f"ccx{self._digest}"

    @property
    def outside_link(self) -> str:
        """The host's end of the control plane's way out, where it has one."""
        return f"{OUTSIDE_LINKS}{self._digest}"

    @property
    def _digest(self) -> str:
        return hashlib.sha256(self.instance.encode()).hexdigest()[:8]

    @property
    def alias(self) -> str:
        """What ``ip link`` shows beside the link's name."""
        return f"ccx instance {self.instance}"
