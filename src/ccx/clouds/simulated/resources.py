"""The simulated cloud's resources and the rules between them. Every method runs in one transaction of the state."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import Any

from ccx.clouds.base import NameTaken, NoCapacity, ServerState, StaleToken, Tags
from ccx.clouds.simulated.state import Document, State
from ccx.errors import Conflict, Invalid, NotFound

LIMITS = ("servers", "cpu", "ram", "volume_size")
"""What capacity is counted in; a limit that isn't set is endless."""

_FIRST_ADDRESS = 256
_IDENTITY_OF_SERVER = ("hostname", "instance_type", "region", "volume", "firewall")
_IDENTITY_OF_VOLUME = ("size", "type", "region")


class Resources:
    """Each mutating method answers ``(result, changed)``: ``changed`` is False for the repetition of what was done."""

    def __init__(self, state: State) -> None:
        self._state = state

    def check_token(self, tags: Tags) -> None:
        """Refuses a claim older than the newest seen on this datastore's resources, and remembers a newer one."""
        name = f"{tags.instance}/{tags.datastore}"
        last = (self._state.get("token", name) or {"token": 0})["token"]
        if tags.token < last:
            raise StaleToken(f"token {tags.token} of {name} is older than {last}: another job took over")
        if tags.token > last:
            self._state.put("token", name, {"token": tags.token})

    def limit(self, limits: dict[str, int]) -> None:
        if unknown := set(limits) - set(LIMITS):
            raise Invalid(f"no such limit: {', '.join(sorted(unknown))}", remedy=f"There are {', '.join(LIMITS)}")
        self._state.put("capacity", "limits", limits)

    def block(self, hosts: list[str]) -> None:
        """The hosts that no node reaches from now on."""
        self._state.put("network", "blocked", {"hosts": hosts})

    def check_capacity(self, wanted: list[dict[str, int]]) -> None:
        limits = self._state.get("capacity", "limits") or {}
        servers = self._state.all("server").values()
        used = {
            "servers": len(servers),
            "cpu": sum(s["cpu"] for s in servers),
            "ram": sum(s["ram"] for s in servers),
            "volume_size": sum(v["size"] for v in self._state.all("volume").values()),
        }
        for what, limit in limits.items():
            asked = sum(d[what] for d in wanted)
            if asked and used[what] + asked > limit:
                raise NoCapacity(
                    f"the cloud has no room: {what} {asked} asked for, {max(0, limit - used[what])} of {limit} free",
                    remedy="Ask for less, or free something",
                )

    def create_volume(self, spec: Document, tags: Tags) -> tuple[Document, bool]:
        self.check_token(tags)
        if volume := self._state.get("volume", spec["name"]):
            _same("volume", volume, spec, _IDENTITY_OF_VOLUME)
            return volume, False
        self.check_capacity([{"servers": 0, "cpu": 0, "ram": 0, "volume_size": spec["size"]}])
        volume = {**spec, "tags": asdict(tags), "attached_to": None}
        self._state.put("volume", spec["name"], volume)
        return volume, True

    def delete_volume(self, name: str, tags: Tags) -> tuple[None, bool]:
        self.check_token(tags)
        volume = self._state.get("volume", name)
        if volume and volume["attached_to"]:
            raise Conflict(f"volume {name} is attached to {volume['attached_to']}", remedy="Delete the server first")
        self._state.delete("volume", name)
        return None, volume is not None

    def create_server(self, spec: Document, tags: Tags) -> tuple[Document, bool]:
        self.check_token(tags)
        if server := self._state.get("server", spec["name"]):
            _same("server", server, spec, _IDENTITY_OF_SERVER)
            return server, False
        volume = self._state.get("volume", spec["volume"]) if spec["volume"] else None
        if spec["volume"] and volume is None:
            raise NotFound(f"there is no volume {spec['volume']}", remedy="Create it before the server")
        if self._state.get("firewall", spec["firewall"]) is None:
            raise NotFound(f"there is no firewall {spec['firewall']}", remedy="Create it before the server")
        if volume and volume["attached_to"]:
            raise Conflict(f"volume {spec['volume']} is attached to {volume['attached_to']}")
        self.check_capacity([{"servers": 1, "cpu": spec["cpu"], "ram": spec["ram"], "volume_size": 0}])
        server = {
            **spec,
            # Nobody here reads it, and it would be nearly all that each look at the servers has to read.
            "user_data": hashlib.sha256(spec["user_data"].encode()).hexdigest(),
            "tags": asdict(tags),
            "state": ServerState.PENDING.value,
            "private_ip": self._free_address(),
            "booting": True,
            "alive": False,
            "cut": False,
            "node": {"token": 0, "applied": {}},
        }
        self._state.put("server", spec["name"], server)
        if volume:
            self._state.put("volume", spec["volume"], {**volume, "attached_to": spec["name"]})
        return server, True

    def delete_server(self, name: str, tags: Tags) -> tuple[None, bool]:
        self.check_token(tags)
        server = self._state.get("server", name)
        if server is None:
            return None, False
        if server["volume"]:
            volume = self._state.get("volume", server["volume"])
            assert volume is not None, "a server's volume can't be deleted under it"
            self._state.put("volume", server["volume"], {**volume, "attached_to": None})
        self._state.delete("server", name)
        return None, True

    def power_off(self, name: str, tags: Tags) -> tuple[None, bool]:
        self.check_token(tags)
        server = self._state.get("server", name)
        if server is None or server["state"] == ServerState.STOPPED:
            return None, False
        self._set_power(name, server, on=False)
        return None, True

    def power_on(self, name: str, tags: Tags) -> tuple[None, bool]:
        self.check_token(tags)
        server = self._server(name)
        if server["state"] != ServerState.STOPPED:
            return None, False
        self._state.put("server", name, {**server, "state": ServerState.PENDING.value, "booting": True})
        return None, True

    def put_firewall(self, firewall: Document, tags: Tags) -> tuple[None, bool]:
        self.check_token(tags)
        before = self._state.get("firewall", firewall["name"])
        self._state.put("firewall", firewall["name"], {**firewall, "tags": asdict(tags)})
        return None, before is None or before["rules"] != firewall["rules"]

    def delete_firewall(self, name: str, tags: Tags) -> tuple[None, bool]:
        self.check_token(tags)
        if members := [n for n, s in self._state.all("server").items() if s["firewall"] == name]:
            raise Conflict(f"firewall {name} has members: {', '.join(members)}", remedy="Delete the servers first")
        existed = self._state.get("firewall", name) is not None
        self._state.delete("firewall", name)
        return None, existed

    def get_server(self, name: str) -> Document | None:
        return self._state.get("server", name)

    def booting(self) -> list[str]:
        return [name for name, server in self._state.all("server").items() if server["booting"]]

    def boot(self, name: str) -> None:
        """The machine is up. One that was deleted or turned off meanwhile stays as it is."""
        server = self._state.get("server", name)
        if server is not None and server["booting"]:
            self._set_power(name, server, on=True)

    def kill(self, name: str) -> None:
        """The machine dies, and the cloud sees and reports it."""
        self._set_power(name, self._server(name), on=False)

    def freeze(self, name: str) -> None:
        """The machine dies, and the cloud doesn't notice."""
        self._state.put("server", name, {**self._server(name), "alive": False, "booting": False})

    def cut(self, name: str) -> None:
        """Nothing reaches the machine, and it reaches nothing."""
        self._state.put("server", name, {**self._server(name), "cut": True})

    def heal(self, name: str) -> None:
        self._state.put("server", name, {**self._server(name), "cut": False})

    def _set_power(self, name: str, server: Document, *, on: bool) -> None:
        state = ServerState.RUNNING if on else ServerState.STOPPED
        self._state.put("server", name, {**server, "alive": on, "booting": False, "state": state.value})
        self._state.record_event({"server": name, "state": state.value})

    def inventory(self, instance: str) -> list[dict[str, Any]]:
        found = []
        for kind in ("server", "volume", "firewall"):
            for name, body in self._state.all(kind).items():
                if body["tags"]["instance"] == instance:
                    detail = {"server": "state", "volume": "size"}.get(kind)
                    shown = str(body[detail]) if detail else f"{len(body['rules'])} rules"
                    found.append({"kind": kind, "name": name, "tags": body["tags"], "detail": shown})
        return found

    def _server(self, name: str) -> Document:
        server = self._state.get("server", name)
        if server is None:
            raise NotFound(f"there is no server {name}")
        return server

    def _free_address(self) -> str:
        taken = {server["private_ip"] for server in self._state.all("server").values()}
        numbers = range(_FIRST_ADDRESS, 1 << 16)
        return next(a for n in numbers if (a := f"198.18.{n >> 8}.{n & 255}") not in taken)


def _same(kind: str, existing: Document, spec: Document, identity: tuple[str, ...]) -> None:
    if differing := [f"{key} {existing[key]}" for key in identity if existing[key] != spec[key]]:
        raise NameTaken(f"{kind} {spec['name']} exists with another {', '.join(differing)}")
