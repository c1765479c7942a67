"""What the cloud remembers, in one file that is replaced as a whole: a crash leaves the old or the new state."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from ccx.clouds.base import Direction, Firewall, Rule, ServerSpec, Tags, Volume, VolumeSpec


class Wanted(StrEnum):
    """What a server is to be."""

    RUNNING = "running"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass
class ServerRecord:
    spec: ServerSpec
    tags: Tags
    slot: int
    """Offset of its address in the instance's network, and the number of its link."""
    cpu: int
    ram: int
    """GiB."""
    image: str
    """The image's folder."""
    boot: str
    """Which run of the host it last ran in."""
    wanted: Wanted = Wanted.RUNNING


@dataclass
class VolumeRecord:
    spec: VolumeSpec
    tags: Tags


@dataclass
class FirewallRecord:
    firewall: Firewall
    tags: Tags


@dataclass
class Records:
    servers: dict[str, ServerRecord] = field(default_factory=dict)
    volumes: dict[str, VolumeRecord] = field(default_factory=dict)
    firewalls: dict[str, FirewallRecord] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    """Highest claim seen, by datastore."""
    names: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """What DNS answers: by datastore, by name."""
    last_slot: int = 0
    denied: dict[str, int] = field(default_factory=dict)
    """Packets that firewalls dropped before their rules were last replaced."""

    def volume(self, name: str) -> Volume:
        """As callers see it. Raises KeyError."""
        spec = self.volumes[name].spec
        return Volume(
            name, spec.size, next((s.spec.name for s in self.servers.values() if s.spec.volume == name), None)
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Records:
        return cls(
            servers={
                name: ServerRecord(
                    **{**r, "spec": ServerSpec(**r["spec"]), "tags": Tags(**r["tags"]), "wanted": Wanted(r["wanted"])}
                )
                for name, r in data["servers"].items()
            },
            volumes={
                name: VolumeRecord(VolumeSpec(**r["spec"]), Tags(**r["tags"])) for name, r in data["volumes"].items()
            },
            firewalls={
                name: FirewallRecord(to_firewall(r["firewall"]), Tags(**r["tags"]))
                for name, r in data["firewalls"].items()
            },
            tokens=data["tokens"], names=data["names"], last_slot=data["last_slot"], denied=data["denied"],
        )  # fmt: skip


def to_firewall(data: dict[str, Any]) -> Firewall:
    """A firewall from JSON. Raises TypeError, KeyError or ValueError for what is none."""
    rules = tuple(Rule(Direction(r["direction"]), r["protocol"], r["port"], r["peer"]) for r in data["rules"])
    return Firewall(data["name"], rules)


class Store:
    """Reads the records once and writes them on demand."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = asyncio.Lock()
        self._written = self._wanted = 0
        self.records = Records.from_json(json.loads(file.read_text())) if file.exists() else Records()

    async def save(self) -> None:
        """Returns when the records, as they are now, are on disk. Calls that come together share one write."""
        self._wanted += 1
        mine = self._wanted
        async with self._lock:
            if self._written >= mine:
                return
            upto, text = self._wanted, json.dumps(self.records.to_json())
            await asyncio.to_thread(self._write, text)
            self._written = upto

    def _write(self, text: str) -> None:
        partial = self._file.with_suffix(".new")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
