"""The cloud itself, behind the daemon's API: :class:`ccx.clouds.base.Cloud` word for word, on this machine.

A record is written before anything is made and dropped after everything is removed, so nothing exists without one.
"""

from __future__ import annotations

import asyncio
import shutil
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from ccx.clouds.base import (
    CloudEvent,
    Demand,
    Firewall,
    NameTaken,
    Resource,
    ResourceKind,
    Server,
    ServerSpec,
    ServerState,
    StaleToken,
    Tags,
    Unavailable,
    Volume,
    VolumeSpec,
)  # fmt: skip
from ccx.clouds.local import capacity, catalogue, firewall, image, leftovers, network, volumes
from ccx.clouds.local.boot import Blueprint
from ccx.clouds.local.cgroups import Group
from ccx.clouds.local.events import Events
from ccx.clouds.local.machine import Machine
from ccx.clouds.local.place import FIRST_NODE, LAST_NODE, Place
from ccx.clouds.local.recipe import RECIPES
from ccx.clouds.local.records import FirewallRecord, Records, ServerRecord, Store, VolumeRecord, Wanted
from ccx.clouds.local.router import Router
from ccx.errors import CcxError, Conflict, Invalid, NotFound


@dataclass(frozen=True)
class Size:
    """CPUs and GiB of memory."""

    cpu: int
    ram: int


class Provider:
    """One instance's servers, volumes and firewalls. Calls may come together; at each name works one at a time."""

    def __init__(
        self, place: Place, store: Store, limits: capacity.Limits, boot_id: str, images: Path = image.IMAGES
    ) -> None:
        self.place = place
        self.events = Events()
        self.router = Router(place, store.records, lambda name: self._machine(name).state is not ServerState.STOPPED)
        self._store = store
        self._limits = limits
        self._boot_id = boot_id
        self._images = images
        self._machines: dict[str, Machine] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def records(self) -> Records:
        return self._store.records

    async def start(self) -> None:
        """Takes over what runs, finishes what was broken off, and boots what ran before the host restarted."""
        for folder in (self.place.volumes, self.place.machines):
            folder.mkdir(parents=True, exist_ok=True)
        running = {name for name in self.records.servers if self._machine(name).adopt()}
        await self.router.start()
        for name, record in self.records.servers.items():
            rebooted = record.wanted is Wanted.RUNNING and name not in running and record.boot != self._boot_id
            if rebooted or record.wanted is Wanted.GONE or (record.wanted is Wanted.STOPPED and name in running):
                self._later(self._finish(name))

    async def _finish(self, name: str) -> None:
        """Makes of a server what it is to be, unless a caller who repeats his call has done so meanwhile."""
        async with self._locks[f"server {name}"]:
            if (record := self.records.servers.get(name)) is None:
                return
            if record.wanted is Wanted.GONE:
                await self._remove_server(name)
            elif record.wanted is Wanted.STOPPED:
                await self._machine(name).power_off()
            elif self._machine(name).state is ServerState.STOPPED:
                await self._boot(name)

    async def close(self) -> None:
        """Lets go of the machines, which go on."""
        for task in self._tasks:
            task.cancel()
        for machine in self._machines.values():
            machine.close()

    async def check_capacity(self, demands: Sequence[Demand]) -> None:
        await self._check_room([d.volume_size for d in demands], sum(d.ram for d in demands))

    async def create_volume(self, spec: VolumeSpec, tags: Tags) -> Volume:
        async with self._claimed(f"volume {spec.name}", tags):
            _check_name(spec.name)
            there = self.records.volumes.get(spec.name)
            if there is None:
                await self._check_room([spec.size], 0)
            elif there.spec != spec:
                raise NameTaken(f"volume {spec.name} exists with {there.spec.size} GiB of type {there.spec.type}")
            self.records.volumes[spec.name] = VolumeRecord(spec, tags)
            await self._store.save()
            await volumes.create(self._image_file(spec.name), spec.size)
            return self.records.volume(spec.name)

    async def delete_volume(self, name: str, tags: Tags) -> None:
        async with self._claimed(f"volume {name}", tags):
            if name not in self.records.volumes:
                return
            if (server := self.records.volume(name).attached_to) is not None:
                raise Conflict(f"volume {name} is attached to {server}", remedy="Delete the server first")
            await asyncio.to_thread(volumes.delete, self._image_file(name))
            del self.records.volumes[name]
            await self._store.save()

    async def create_server(self, spec: ServerSpec, tags: Tags, size: Size | None = None) -> Server:
        """``size`` is what the caller knows of the instance type; the catalogue's otherwise."""
        async with self._claimed(f"server {spec.name}", tags):
            there = self.records.servers.get(spec.name)
            if there is not None and there.wanted is Wanted.GONE:
                await self._remove_server(spec.name)
                there = None
            if there is None:
                there = await self._new_server(spec, tags, size)
            elif replace(there.spec, user_data=spec.user_data) != spec:
                raise NameTaken(f"server {spec.name} exists with another volume, size, firewall or hostname")
            there.tags = tags
            await self._store.save()
            if there.wanted is Wanted.RUNNING and self._machine(spec.name).state is ServerState.STOPPED:
                await self._boot(spec.name)
            else:
                await self.router.settle()
            return self._server(spec.name)

    async def get_server(self, name: str) -> Server | None:
        there = self.records.servers.get(name)
        return None if there is None or there.wanted is Wanted.GONE else self._server(name)

    async def delete_server(self, name: str, tags: Tags) -> None:
        async with self._claimed(f"server {name}", tags):
            if name in self.records.servers:
                self.records.servers[name].wanted = Wanted.GONE
                await self._store.save()
                await self._remove_server(name)

    async def power_off(self, name: str, tags: Tags) -> None:
        async with self._claimed(f"server {name}", tags):
            if name in self.records.servers:
                self.records.servers[name].wanted = Wanted.STOPPED
                # Together: somebody waits to promote another primary, and a stop that is not remembered is harmless.
                await asyncio.gather(self._machine(name).power_off(), self._store.save())
                self._later(self.router.apply())

    async def power_on(self, name: str, tags: Tags) -> None:
        async with self._claimed(f"server {name}", tags):
            if name not in self.records.servers or self.records.servers[name].wanted is Wanted.GONE:
                raise NotFound(f"there is no server {name}")
            self.records.servers[name].wanted = Wanted.RUNNING
            await self._store.save()
            if self._machine(name).state is ServerState.STOPPED:
                await self._boot(name)
            else:
                await self.router.settle()

    async def put_firewall(self, wanted: Firewall, tags: Tags) -> None:
        async with self._claimed(f"firewall {wanted.name}", tags):
            firewall.check(wanted)
            self.records.firewalls[wanted.name] = FirewallRecord(wanted, tags)
            await self._store.save()
            await self.router.apply()

    async def delete_firewall(self, name: str, tags: Tags) -> None:
        async with self._claimed(f"firewall {name}", tags):
            if members := [s.spec.name for s in self.records.servers.values() if s.spec.firewall == name]:
                raise Conflict(f"firewall {name} protects {', '.join(members)}", remedy="Delete its servers first")
            if self.records.firewalls.pop(name, None) is not None:
                self.records.denied.pop(name, None)
                await self._store.save()
                await self.router.apply()

    async def inventory(self, instance: str) -> list[Resource]:
        if instance != self.place.instance:
            return []
        kind, found = ResourceKind, []
        for name, server in self.records.servers.items():
            address = self.place.node(server.slot)
            state = self._machine(name).state
            found.append(
                Resource(kind.SERVER, name, server.tags, f"{state}, {address}, {server.cpu} CPU, {server.ram} GiB")
            )
            found.append(Resource(kind.ADDRESS, str(address), server.tags, f"of {name}"))
        for name, volume in self.records.volumes.items():
            used = volumes.occupied(self._image_file(name)) / (1 << 30)
            found.append(Resource(kind.VOLUME, name, volume.tags, f"{volume.spec.size} GiB, {used:.1f} GiB used"))
        for name, wall in self.records.firewalls.items():
            found.append(Resource(kind.FIREWALL, name, wall.tags, f"{len(wall.firewall.rules)} rules"))
        return found + await leftovers.orphans(self.place, self.records)

    async def publish_names(self, datastore: str, names: dict[str, list[str]]) -> None:
        """Remembers what DNS is to answer for a datastore."""
        if names:
            self.records.names[datastore] = names
        else:
            self.records.names.pop(datastore, None)
        await self._store.save()

    async def cut(self, name: str, *, cut: bool) -> None:
        """A test's fault: the server's network goes away, or comes back. Raises NotFound."""
        self._known(name)
        (self.router.cut.add if cut else self.router.cut.discard)(name)
        await self.router.apply()

    def crash(self, name: str) -> None:
        """A test's fault: the machine dies. Raises NotFound."""
        self._known(name)
        self._machine(name).crash()

    def name_of(self, name_or_hostname: str) -> str:
        """Raises NotFound."""
        for name, record in self.records.servers.items():
            if name_or_hostname in (name, record.spec.hostname, record.spec.hostname.partition(".")[0]):
                return name
        raise NotFound(f"there is no server {name_or_hostname}")

    @asynccontextmanager
    async def _claimed(self, what: str, tags: Tags) -> AsyncIterator[None]:
        """The only one at ``what``, with a claim that no later one has overtaken. Raises StaleToken."""
        async with self._locks[what]:
            if tags.instance != self.place.instance:
                raise Invalid(f"this cloud is {self.place.instance}'s, not {tags.instance}'s", field="tags.instance")
            newest = self.records.tokens.get(tags.datastore, 0)
            if tags.token < newest:
                raise StaleToken(f"{what} was asked for under claim {tags.token}; {newest} has overtaken it")
            if tags.token > newest:
                self.records.tokens[tags.datastore] = tags.token
                await self._store.save()
            yield

    async def _check_room(self, new_volumes: list[int], new_ram: int) -> None:
        files = [self._image_file(name) for name in self.records.volumes]
        occupied = await asyncio.to_thread(lambda: sum(map(volumes.occupied, files)))
        capacity.check(
            capacity.Host.look(self.place.volumes, occupied), self._limits,
            [v.spec.size for v in self.records.volumes.values()], new_volumes,
            sum(s.ram for s in self.records.servers.values()), new_ram,
        )  # fmt: skip

    async def _new_server(self, spec: ServerSpec, tags: Tags, size: Size | None) -> ServerRecord:
        """Checks the wish and gives it an address. Nothing is made yet."""
        _check_name(spec.name)
        cpu, ram = (size.cpu, size.ram) if size else catalogue.size_of(spec.instance_type)
        await self._check_room([], ram)
        if spec.image not in RECIPES:
            raise Invalid(f"there is no image {spec.image!r}", field="image", remedy=f"Use {', '.join(RECIPES)}")
        root = await asyncio.to_thread(image.find_image, spec.image, self._images)
        if root is None:
            remedy = f"Make it, which takes a minute or two: script/image {spec.image}"
            raise CcxError(f"the node image {spec.image!r} is not made yet", remedy=remedy, status=503)
        # Nothing is waited for from here on: what is free now can't be another's by the time it is written down.
        if spec.volume:
            self._check_free(spec.volume)
        if spec.firewall not in self.records.firewalls:
            raise Invalid(f"there is no firewall {spec.firewall}", field="firewall", remedy="Put it first")
        record = ServerRecord(spec, tags, self._free_slot(), cpu, ram, str(root), self._boot_id)
        self.records.servers[spec.name] = record
        return record

    def _check_free(self, volume: str) -> None:
        if volume not in self.records.volumes:
            raise Invalid(f"there is no volume {volume}", field="volume", remedy="Create it first")
        if (other := self.records.volume(volume).attached_to) is not None:
            raise Conflict(f"volume {volume} is attached to {other}", remedy="Delete that server first")

    def _free_slot(self) -> int:
        """The next one after the last, so that a dead node's address rests before another gets it."""
        taken = {record.slot for record in self.records.servers.values()}
        slots = range(FIRST_NODE, LAST_NODE + 1)
        start = max(self.records.last_slot + 1, FIRST_NODE)
        for slot in chain(range(start, LAST_NODE + 1), slots):
            if slot not in taken:
                self.records.last_slot = slot
                return slot
        raise CcxError(f"all {len(slots)} addresses of {self.place.subnet} are given", status=422)

    async def _boot(self, name: str) -> None:
        record = self.records.servers[name]
        if record.boot != self._boot_id:
            record.boot = self._boot_id
            await self._store.save()
        await network.ensure_node(self.place, record.slot)
        booting = asyncio.create_task(self._machine(name).boot(self._blueprint(record)))
        await asyncio.sleep(0)  # it counts as starting from here on, so the rules let packets through to it
        try:
            await self.router.apply()
        finally:
            await booting

    async def _remove_server(self, name: str) -> None:
        record = self.records.servers[name]
        await self._machine(name).power_off()
        self._machines.pop(name).close()
        self.router.cut.discard(name)
        Group(self.place.instance, name).remove()
        await network.remove_node(self.place, record.slot)
        await asyncio.to_thread(shutil.rmtree, self.place.machines / name, ignore_errors=True)
        del self.records.servers[name]
        await self._store.save()
        await self.router.apply()

    def _blueprint(self, record: ServerRecord) -> Blueprint:
        spec, place = record.spec, self.place
        return Blueprint(
            spec.name, spec.hostname, place.node(record.slot), place.router, place.subnet.prefixlen,
            place.node_namespace(record.slot), Path(record.image),
            self._image_file(spec.volume) if spec.volume else None,
            place.machines / spec.name, spec.user_data, record.cpu, record.ram,
        )  # fmt: skip

    def _machine(self, name: str) -> Machine:
        if name not in self._machines:
            self._machines[name] = Machine(name, Group(self.place.instance, name), self._noticed)
        return self._machines[name]

    def _noticed(self, name: str, state: ServerState, at: float) -> None:
        self.events.publish(CloudEvent(name, state, at))
        if state is ServerState.STOPPED and name in self.records.servers:
            self._later(self.router.apply())

    def _later(self, work: object) -> None:
        async def done() -> None:
            try:
                await work  # type: ignore[misc]
            except (Unavailable, CcxError) as error:
                print(f"in the background: {error}", flush=True)

        task = asyncio.create_task(done())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _server(self, name: str) -> Server:
        record = self.records.servers[name]
        address = str(self.place.node(record.slot))
        return Server(name, self._machine(name).state, address, zone=record.spec.zone)

    def _known(self, name: str) -> None:
        if name not in self.records.servers:
            raise NotFound(f"there is no server {name}")

    def _image_file(self, volume: str) -> Path:
        return self.place.volumes / f"{volume}.img"


def _check_name(name: str) -> None:
    """It becomes a folder, a control group and a machine's name."""
    if not (0 < len(name) <= 64 and name.isascii() and name.replace("-", "").isalnum() and name[0] != "-"):
        raise Invalid(f"{name!r} is no name", field="name", remedy="Use up to 64 letters, digits and hyphens")
