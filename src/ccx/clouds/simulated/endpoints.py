"""The simulated cloud: a process beside the tests or the control plane."""

from ccx.network import Direction, Plane, Protocol, UnixSocket, declare, on_cloud

SERVER = declare(
    id="cloud.simulated.server",
    section=None,
    reason="The simulated cloud is our own. Listed for completeness: a unix socket leaves the machine by no network",
    host=UnixSocket(lambda s: s.paths.run / "simulated-cloud.sock"),
    protocol=Protocol.UNIX,
    direction=Direction.INTERNAL,
    plane=Plane.INTERNAL,
    needed=on_cloud("simulated"),
    service="ccx-runner-service",
    purpose="servers, volumes, firewalls and nodes that are simulated",
    when_blocked="jobs on the simulated cloud wait and are retried",
)
