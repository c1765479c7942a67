"""Galera between the members of a datastore. The rest of its rows are those of MariaDB with replicas."""

from ccx.network import PEERS, Direction, Plane, Protocol, declare, for_topology

GROUP = declare(
    id="galera.peers",
    section=None,
    reason="Traffic between nodes is not in the specification",
    host=PEERS,
    ports=(4444, 4567, 4568),
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=for_topology("mariadb", "galera"),
    service="Galera",
    purpose="the group (4567), what a member missed (4568) and whole copies (4444) between members (mutual TLS)",
    when_blocked="who can't reach a majority stops serving; a node that comes back can't join",
)
