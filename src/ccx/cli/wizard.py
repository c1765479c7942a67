"""What is on offer, and the request that names all of it: what a person left out gets the first or the smallest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ccx.errors import Invalid

PATH = "/content/api/v1/deploy-wizard"


def request(
    offer: Mapping[str, Any],
    *,
    name: str,
    vendor: str,
    version: str,
    type: str,
    nodes: int,
    size: str,
    volume_size: int | None,
    volume_type: str,
    cloud: str,
    region: str,
    tags: Sequence[str],
) -> dict[str, Any]:
    """The body of a create. What was given is passed on as it is: the API judges it."""
    clouds = offer["cloud"]["cloud_providers"]
    chosen = _named(clouds, cloud, "cloud") if cloud else _first(clouds, "cloud")
    code = chosen["code"]
    instances = offer["instance"]["instance_sizes"].get(code) or []
    volumes = offer["instance"]["volume_types"].get(code) or []
    kind = volume_type or _first(volumes, "volume_type")["code"]
    limits = offer["instance"]["volume_sizes"].get(code, {}).get(kind, {})
    return {
        "general": {
            "cluster_name": name,
            "cluster_size": nodes,
            "db_vendor": vendor,
            "db_version": version,
            "cluster_type": type,
            "tags": list(tags),
        },
        "cloud": {"cloud_provider": code, "cloud_region": region or _first(chosen["regions"], "region")["code"]},
        "instance": {
            "instance_size": size or _smallest(instances)["code"],
            "volume_type": kind,
            "volume_size": limits.get("default", 80) if volume_size is None else volume_size,
        },
        "network": {"network_type": _network(offer, code), "ha_enabled": nodes > 1},
        "notifications": {"enabled": False, "emails": []},
    }


def _named(items: Sequence[Mapping[str, Any]], code: str, field: str) -> Mapping[str, Any]:
    for item in items:
        if item["code"] == code:
            return item
    offered = ", ".join(item["code"] for item in items) or "none"
    raise Invalid(f"there is no {field} {code!r}", field=field, remedy=f"On offer: {offered}")


def _first(items: Sequence[Mapping[str, Any]], field: str) -> Mapping[str, Any]:
    if not items:
        raise Invalid(f"the control plane offers no {field}", field=field, remedy="Its operator sets what it offers")
    return items[0]


def _smallest(instances: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    _first(instances, "size")
    return min(instances, key=lambda item: (item["cpu"], item["ram"]))


def _network(offer: Mapping[str, Any], cloud: str) -> str:
    kinds = (offer.get("network") or {}).get("network", {}).get(cloud) or []
    enabled = [kind["code"] for kind in kinds if kind.get("enabled", True)]
    return "public" if "public" in enabled or not enabled else str(enabled[0])
