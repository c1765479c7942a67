"""Mirrors that the settings name: every row of their kind moves to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network.hosts import Address, parse_url
from ccx.network.kinds import Mirror

if TYPE_CHECKING:
    from ccx.settings import Settings


def mirror_of(kind: Mirror, settings: Settings) -> Address | None:
    """Where what is mirrored as ``kind`` comes from under these settings; None: from its own host."""
    if kind is Mirror.IMAGE_REGISTRY:
        url, field = settings.kubernetes.image_registry, "kubernetes.image_registry"
    elif kind is Mirror.APT_REPOSITORY:
        url, field = settings.mirror.packages, "mirror.packages"
    elif kind is Mirror.CHART_REPOSITORY:
        url, field = settings.mirror.charts, "mirror.charts"
    else:
        return None
    return parse_url(url, field=field) if url else None


def proxy_of(settings: Settings) -> str:
    """``host:port`` of the egress proxy; empty where there is none."""
    if not settings.egress_proxy:
        return ""
    proxy = parse_url(settings.egress_proxy, field="egress_proxy")
    return f"{proxy.host}:{proxy.port or 3128}"
