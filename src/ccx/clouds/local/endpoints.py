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
    purpose="Debian packages of the nodes' image, built once and cached by content",
    mirror=Mirror.APT_REPOSITORY,
    path="/debian",
    when_blocked="the image can't be built, and installing says so; a cached image needs no download",
)
