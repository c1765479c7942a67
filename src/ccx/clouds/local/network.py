"""The instance's router: a network namespace with a link to the host, to the control plane and to every node.

Everybody has addresses out of one /20 and reaches all others through the router, which answers for them (proxy ARP) and
lets pass what the firewalls allow. All functions may be repeated, and find what a crash left half-made.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from ccx.clouds.local.place import Place
from ccx.clouds.local.shell import NAMESPACES, ToolFailed, inside, ip, run

_HOST_LINK = "host"
_CONTROL_LINK = "control"
CONTROL_INSIDE = "cloud0"
"""The control plane's link to the cloud, inside its own namespace."""

NODE_LINK = "host0"
"""A node's link, inside the node."""


async def ensure_router(place: Place) -> None:
    """Makes the router and its link to the host, without touching what nodes use."""
    space = place.router_namespace
    await _ensure_namespace(space)
    await ip("link set lo up", f"addr replace {place.router}/32 dev lo", namespace=space)
    await _sysctl(
        space,
        "net.ipv6.conf.all.disable_ipv6=1",
        "net.ipv6.conf.default.disable_ipv6=1",
        "net.ipv4.ip_forward=1",
        "net.ipv4.conf.all.rp_filter=1",
        "net.ipv4.conf.default.proxy_arp=1",
        "net.ipv4.conf.all.send_redirects=0",
        "net.ipv4.conf.default.send_redirects=0",
        "net.ipv4.icmp_ratelimit=0",
    )  # fmt: skip
    if place.host_link not in await _links() or _HOST_LINK not in await _links(space):
        await _drop_link(place.host_link)
        await ip(f"link add {place.host_link} type veth peer name {_HOST_LINK} netns {space}")
    await ip(
        f"link set {place.host_link} alias {place.alias.replace(' ', '-')} up",
        f"addr replace {place.host}/32 dev {place.host_link}",
        f"route replace {place.subnet} via {place.router} dev {place.host_link} onlink src {place.host}",
    )
    await ip(
        f"link set {_HOST_LINK} up", f"route replace {place.host}/32 dev {_HOST_LINK}", namespace=space
    )  # fmt: skip
    await _no_proxy_delay(space, _HOST_LINK)


async def ensure_mirror(place: Place) -> None:
    """Gives the router the package mirror's address. The router is made if it is not there."""
    await ensure_router(place)
    await ip(f"addr replace {place.mirror}/32 dev lo", namespace=place.router_namespace)


async def attach_control_plane(place: Place) -> None:
    """Gives the control plane's namespace, which must exist, its address and the way to nodes, host and resolver.

    Needs root. The router is made if it is not there, so it doesn't matter which of daemon and supervisor starts first.
    """
    await ensure_router(place)
    space, inner = place.router_namespace, place.control_namespace
    if CONTROL_INSIDE not in await _links(inner) or _CONTROL_LINK not in await _links(space):
        await detach_control_plane(place)
        await ip(f"link add {_CONTROL_LINK} type veth peer name {CONTROL_INSIDE} netns {inner}", namespace=space)
    await ip(
        f"link set {_CONTROL_LINK} up", f"route replace {place.control}/32 dev {_CONTROL_LINK}", namespace=space
    )  # fmt: skip
    await ip(
        f"link set {CONTROL_INSIDE} up",
        f"addr replace {place.control}/32 dev {CONTROL_INSIDE}",
        f"route replace {place.subnet} via {place.router} dev {CONTROL_INSIDE} onlink src {place.control}",
        namespace=inner,
    )
    await _no_proxy_delay(space, _CONTROL_LINK)


async def detach_control_plane(place: Place) -> None:
    """Takes the link away again. Succeeds where there is none."""
    await _drop_link(_CONTROL_LINK, place.router_namespace)
    await _drop_link(CONTROL_INSIDE, place.control_namespace)


async def ensure_node(place: Place, slot: int) -> None:
    """The namespace that a node boots into, with its link ``host0``; its address is set by the node itself."""
    space, inner, link = place.router_namespace, place.node_namespace(slot), node_link(slot)
    await _ensure_namespace(inner)
    if NODE_LINK not in await _links(inner) or link not in await _links(space):
        # The link comes last: where it is, the rest is too, however an earlier try ended.
        await _sysctl(inner, "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        await ip("link set lo up", namespace=inner)
        await _drop_link(link, space)
        await ip(f"link add {link} type veth peer name {NODE_LINK} netns {inner}", namespace=space)
        await _no_proxy_delay(space, link)
    await ip(f"link set {link} up", f"route replace {place.node(slot)}/32 dev {link}", namespace=space)


async def remove_node(place: Place, slot: int) -> None:
    """Removes a node's link and namespace. Succeeds where there is none."""
    await _drop_link(node_link(slot), place.router_namespace)
    await _remove_namespace(place.node_namespace(slot))


def node_namespaces(place: Place) -> list[str]:
    """Those that exist, whoever knows of them."""
    return [path.name for path in NAMESPACES.glob(f"{place.node_prefix}*")]


def node_link(slot: int) -> str:
    """The router's end of a node's link."""
    return f"n{slot}"


async def remove_all(place: Place) -> None:
    """Removes the router with all links and namespaces of nodes. Processes in them must have ended."""
    for name in node_namespaces(place):
        await _remove_namespace(name)
    await detach_control_plane(place)
    await _drop_link(place.host_link)
    await _remove_namespace(place.router_namespace)


async def _ensure_namespace(name: str) -> None:
    """A file without a namespace behind it, which a crash can leave, is replaced."""
    file = NAMESPACES / name
    if file.exists():
        if _is_mounted(file):
            return
        file.unlink()
    await run("ip", "netns", "add", name)


async def _remove_namespace(name: str) -> None:
    file = NAMESPACES / name
    if file.exists():
        if _is_mounted(file):
            try:
                await run("ip", "netns", "delete", name)
            except ToolFailed:
                if file.exists():  # else the tool of a daemon that was killed was faster
                    raise
        else:
            file.unlink(missing_ok=True)


def _is_mounted(file: Path) -> bool:
    return file.stat().st_dev != file.parent.stat().st_dev


async def _links(namespace: str | None = None) -> set[str]:
    where = ("-n", namespace) if namespace else ()
    if namespace and not (NAMESPACES / namespace).exists():
        return set()
    return {link["ifname"] for link in json.loads(await run("ip", *where, "-j", "link", "show") or "[]")}


async def _drop_link(name: str, namespace: str | None = None) -> None:
    if name in await _links(namespace):
        with suppress(ToolFailed):  # the other end was deleted meanwhile, and this one with it
            await run("ip", *(("-n", namespace) if namespace else ()), "link", "delete", name)


async def _no_proxy_delay(namespace: str, link: str) -> None:
    """The kernel waits up to 0.8 s before it answers for somebody else; here nobody else could."""
    await _sysctl(namespace, f"net.ipv4.neigh.{link}.proxy_delay=0")


async def _sysctl(namespace: str, *settings: str) -> None:
    """What this kernel doesn't know, such as IPv6 where it is not built in, needs no setting."""
    await inside(namespace, "sysctl", "-eqw", *settings)
