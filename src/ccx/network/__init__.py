"""The network contract: every connection that CCX makes or accepts, declared once beside the code that makes it.

``declare`` enters an :class:`Endpoint`; it is the only way to a client. ``catalogue`` holds them all, ``plan`` turns
settings into the rows that apply, ``render`` turns rows into firewall rules and pages, ``guard`` explains refusals.
"""

from ccx.network.endpoint import Endpoint, Target
from ccx.network.hosts import Address, from_url
from ccx.network.kinds import (
    CLIENTS,
    CONTROL_PLANE,
    NODES,
    PEERS,
    RESOLVER,
    USERS,
    Direction,
    Group,
    Mirror,
    Plane,
    Protocol,
    Status,
    UnixSocket,
)
from ccx.network.refusal import UndeclaredConnection
from ccx.network.registry import declare
from ccx.network.when import (
    ALWAYS,
    STOCK_IMAGES,
    VENDORS_KEYS,
    When,
    for_topology,
    for_vendor,
    for_version,
    on_cloud,
)

__all__ = [
    "ALWAYS", "CLIENTS", "CONTROL_PLANE", "NODES", "PEERS", "RESOLVER", "STOCK_IMAGES", "USERS", "VENDORS_KEYS",
    "Address", "Direction", "Endpoint", "Group", "Mirror", "Plane", "Protocol", "Status", "Target",
    "UndeclaredConnection", "UnixSocket", "When", "declare", "for_topology", "for_vendor", "for_version",
    "from_url", "on_cloud",
]  # fmt: skip
