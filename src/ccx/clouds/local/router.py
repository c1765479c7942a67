"""Keeps the router's rules equal to what the records say."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from ipaddress import IPv4Address

from ccx.clouds.base import Firewall
from ccx.clouds.local import firewall, network
from ccx.clouds.local.place import Place
from ccx.clouds.local.records import Records, Wanted
from ccx.clouds.local.shell import ToolFailed, inside


class Router:
    """The instance's rules. ``runs`` tells whether a server's machine runs now."""

    def __init__(self, place: Place, records: Records, runs: Callable[[str], bool]) -> None:
        self._place = place
        self._records = records
        self._runs = runs
        self._lock = asyncio.Lock()
        self._applied: list[Firewall] = []
        self._stale = True
        self.cut: set[str] = set()
        """Servers whose network a test has cut."""

    async def start(self) -> None:
        """Makes the router where it is missing, with the rules of now."""
        await network.ensure_router(self._place)
        await self.apply()

    async def apply(self) -> None:
        """Puts the records into force, as a whole. Returns when they are. Raises ToolFailed."""
        async with self._lock:
            self._stale = True
            counts = await self._counts()
            picture = self._picture()
            await inside(self._place.router_namespace, "nft", "-f", "-", stdin=firewall.render(picture))
            self._keep(counts)
            self._applied = list(picture.firewalls)
            self._stale = False

    async def settle(self) -> None:
        """As :meth:`apply`, where that failed: who repeats his call must not find a machine that no rule knows."""
        if self._stale:
            await self.apply()

    async def denied(self) -> dict[str, int]:
        """Packets dropped so far, by firewall; ``cut`` for faults and ``other`` for what no firewall speaks of."""
        async with self._lock:
            return {name: self._records.denied.get(name, 0) + new for name, new in (await self._counts()).items()}

    def _picture(self) -> firewall.Picture:
        records, place = self._records, self._place
        members: dict[str, list[IPv4Address]] = {}
        for server in records.servers.values():
            members.setdefault(server.spec.firewall, []).append(place.node(server.slot))
        stopped = [name for name in records.servers if not self._runs(name)]
        return firewall.Picture(
            place,
            [record.firewall for _, record in sorted(records.firewalls.items())],
            members,
            cut=[place.node(records.servers[name].slot) for name in self.cut if name in records.servers],
            # Who died behind a cut cable is not heard of; who was turned off is known to be off.
            off=[
                place.node(records.servers[name].slot)
                for name in stopped
                if name not in self.cut or records.servers[name].wanted is not Wanted.RUNNING
            ],
        )

    def _keep(self, counts: dict[str, int]) -> None:
        """The counters began again with the new set of rules. Of a firewall that is gone nothing is kept."""
        for name, count in counts.items():
            if count and (name in self._records.firewalls or name in firewall.COUNTERS):
                self._records.denied[name] = self._records.denied.get(name, 0) + count

    async def _counts(self) -> dict[str, int]:
        try:
            listed = json.loads(await inside(self._place.router_namespace, "nft", "-j", "list", "counters"))
        except ToolFailed:  # no table yet
            return {}
        by_counter = {c["counter"]["name"]: c["counter"]["packets"] for c in listed["nftables"] if "counter" in c}
        names = {firewall.counter(self._applied, f.name): f.name for f in self._applied}
        return {
            names.get(counter, counter): packets
            for counter, packets in by_counter.items()
            if counter in names or not counter.startswith("denied")
        }
