"""What exists on the machine in an instance's name though no record speaks of it."""

from __future__ import annotations

import asyncio

from ccx.clouds.base import Resource, ResourceKind, Tags
from ccx.clouds.local import cgroups, network, resolver, volumes
from ccx.clouds.local.place import Place
from ccx.clouds.local.records import Records


async def orphans(place: Place, records: Records) -> list[Resource]:
    """Namespaces, links, groups of processes, folders, images and loop devices without an owner."""
    return [
        Resource(kind, name, Tags(place.instance, "", 0), f"orphan: {what}")
        for kind, name, what in await asyncio.to_thread(_look, place, records)
    ]


def _look(place: Place, records: Records) -> list[tuple[ResourceKind, str, str]]:
    servers, images = set(records.servers), {f"{name}.img" for name in records.volumes}
    namespaces = {place.node_namespace(server.slot) for server in records.servers.values()}
    found = [
        (ResourceKind.ADDRESS, name, "a network namespace")
        for name in network.node_namespaces(place)
        if name not in namespaces
    ]
    for name in cgroups.groups(place.instance):
        if name not in servers and name != resolver.GROUP:
            count = len(cgroups.Group(place.instance, name).processes())
            found.append((ResourceKind.SERVER, name, f"a group with {count} processes"))
    for folder in place.machines.iterdir():
        if folder.name not in servers:
            found.append((ResourceKind.SERVER, folder.name, "a machine's folder"))
    for file in place.volumes.iterdir():
        if file.name not in images and file.with_suffix(".img").name not in images:
            found.append((ResourceKind.VOLUME, file.name, "a volume's image"))
    used = {place.volumes / f"{server.spec.volume}.img" for server in records.servers.values() if server.spec.volume}
    mine = {device for file in used for device in volumes.loop_devices(file)}
    for device in volumes.loop_devices(place.var):
        if device not in mine:
            found.append((ResourceKind.VOLUME, device, "a loop device"))
    return found
