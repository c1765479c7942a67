"""Between the control plane and every node, whatever engine it runs."""

from ccx.network import CONTROL_PLANE, NODES, RESOLVER, Direction, Mirror, Plane, Protocol, When, declare
from ccx.network.mirror import repository

SSH_TO_NODES = declare(
    id="cmon.ssh",
    section=None,
    reason="Nodes are configured over SSH; the specification lists no connection to them",
    host=NODES,
    ports=22,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.CONTROL,
    service="cmon",
    purpose="configures nodes: SSH with pinned host keys",
    when_blocked="datastores serve and fail over by themselves, but no change to them succeeds: jobs retry, then fail",
)

PHONE_HOME = declare(
    id="node.control-plane",
    section=None,
    reason="Nodes enrol with the control plane and get ccx-agent from it; the specification lists no such connection",
    host=CONTROL_PLANE,
    ports=443,
    protocol=Protocol.HTTPS,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    mirror=Mirror.NONE,
    service="cloud-init",
    purpose="a new node trades its token for its SSH host key, installs ccx-agent, and reports that it is ready",
    when_blocked="new nodes never report ready: creating fails after CLOUD_INIT_TIMEOUT_MINUTES and is undone",
)

NODE_DNS_UDP = declare(
    id="node.dns-udp",
    section=None,
    reason="Nodes look names up; the specification takes DNS for granted",
    host=RESOLVER,
    ports=53,
    protocol=Protocol.UDP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    service="the node's resolver",
    purpose="looks names up",
    when_blocked="clusters go on by address; a new node's job fails, names the resolver and is undone",
)

NODE_DNS_TCP = declare(
    id="node.dns-tcp",
    section=None,
    reason="DNS answers that are too long for a datagram come over TCP",
    host=RESOLVER,
    ports=53,
    protocol=Protocol.TCP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    required=False,
    service="the node's resolver",
    purpose="looks names up when the answer is long",
    when_blocked="names with long answers are not found",
)

_DEBIAN_NODES = When(
    lambda s: any(c.type == "local" and c.stock for c in s.clouds), "the local cloud's nodes start from stock images"
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_UNREACHABLE = (
    "a new node's packages are not installed: its job fails, names this repository and is undone; nodes that run go on"
)

DEBIAN = declare(
    id="packages.debian",
    section=None,
    reason="The local cloud's nodes are Debian; the specification names only Ubuntu's mirrors",
    host="deb.debian.org",
    ports=80,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_DEBIAN_NODES,
    service="apt, run by ccx-agent",
    purpose="Debian base packages",
    mirror=Mirror.APT_REPOSITORY,
    path="/debian",
    when_blocked=_UNREACHABLE,
)

DEBIAN_SECURITY = declare(
    id="packages.debian-security",
    section=None,
    reason="The local cloud's nodes are Debian; the specification names only Ubuntu's mirrors",
    host="deb.debian.org",
    ports=80,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.DATA,
    needed=_DEBIAN_NODES,
    service="apt, run by ccx-agent",
    purpose="Debian's security updates",
    mirror=Mirror.APT_REPOSITORY,
    path="/debian-security",
    when_blocked=_UNREACHABLE,
)

repository(row=DEBIAN.id, suites=("{codename}", "{codename}-updates"), keyring=_KEYRING, distributions=("debian",),
           packages={"": ("nftables",)}, base=True)  # fmt: skip
repository(row=DEBIAN_SECURITY.id, suites=("{codename}-security",), keyring=_KEYRING, distributions=("debian",),
           base=True)  # fmt: skip
