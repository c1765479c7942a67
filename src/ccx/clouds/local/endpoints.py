"""The local cloud: its daemon on this machine, and what building the nodes' image takes."""

from ccx.network import Direction, Mirror, Plane, Protocol, UnixSocket, declare, on_cloud

DAEMON = declare(
    id="cloud.local.daemon",
    section=None,
    reason="The local cloud is our own. Listed for completeness: a unix socket leaves the machine by no network",
    host=UnixSocket(lambda s: s.paths.run / "cloud.sock"),
    protocol=Protocol.UNIX,
    direction=Direction.INTERNAL,
    plane=Plane.INTERNAL,
    needed=on_cloud("local"),
    service="ccx-runner-service",
    purpose="servers, volumes and firewalls of the local cloud",
    when_blocked="jobs on the local cloud wait and are retried; running datastores go on",
)

IMAGE_PACKAGES = declare(
    id="cloud.local.image",
    section=None,
    reason="The local cloud's nodes are Debian; the specification names only Ubuntu's mirrors",
    host="deb.debian.org",
    ports=80,
    protocol=Protocol.HTTP,
    direction=Direction.OUTBOUND,
    plane=Plane.INSTALL,
    needed=on_cloud("local"),
    service="ccx cloud daemon",
    purpose="Debian packages of the nodes' images, and of their mirror: fetched once and kept",
    # Not moved by mirror.packages, which may be the mirror that is filled from here.
    mirror=Mirror.NONE,
    path="/debian",
    when_blocked="the image can't be built nor the stock image's mirror filled, and installing says so; what is cached "
    "needs no download; CCX_DEBIAN_MIRROR names another archive",
)
