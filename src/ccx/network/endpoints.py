"""The operator's own way out, for whatever leaves by HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Direction, Endpoint, Plane, Protocol, When, declare, from_url
from ccx.network.registry import declared

if TYPE_CHECKING:
    from ccx.settings import Settings


def _proxy(plane: Plane, blocked: str) -> Endpoint:
    def used(settings: Settings) -> bool:
        """A machine for which everything is inside the fence has no business with the proxy."""
        return bool(settings.egress_proxy) and any(
            one.plane is plane
            and one.protocol in (Protocol.HTTP, Protocol.HTTPS)
            and one.by_proxy(settings)
            and one.needed(settings)
            for one in declared().values()
        )

    return declare(
        id=f"egress.proxy.{plane}", section=None, reason="The operator's own way out, which the specification omits",
        host=from_url(lambda s: s.egress_proxy, "egress_proxy"), ports=3128, protocol=Protocol.TCP,
        direction=Direction.OUTBOUND, plane=plane, needed=When(used, "egress_proxy is set, and something goes by it"),
        service="whatever leaves by HTTP", purpose="the proxy that lets out what goes by it", when_blocked=blocked,
    )  # fmt: skip


CONTROL = _proxy(Plane.CONTROL, "what goes by it fails, each as its own row says; datastores go on")
NODES = _proxy(
    Plane.DATA,
    "what goes by it fails, each as its own row says: where packages come by it, a new node's job fails, names the "
    "proxy and is undone; nodes that run go on",
)
