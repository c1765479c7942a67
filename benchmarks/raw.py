"""A cluster made by a plain script, without a control plane: what a create can't do without.

The same image and machine containers, the same files with the same parameters, keys and certificates by the same
functions. But cloud-init brings the configuration itself: there is no enrolment, no agent, no SSH and no job, and
nobody keeps a secret out of user data. From the stock image cloud-init also installs the same packages, from the same
mirror and checked by the same key. What is done by hand for each kind of cluster stands in a module of its own.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import yaml

from ccx import pki
from ccx.clouds.base import Firewall, ResourceKind, ServerSpec, Tags, VolumeSpec
from ccx.clouds.local import LocalCloud
from ccx.clouds.local.place import FIRST_NODE, Place
from ccx.clouds.local.recipe import SUITE
from ccx.cmon import engines
from ccx.cmon.engines.base import Software
from ccx.cmon.node_file import NodeFile
from ccx.cmon.spec import ClusterSecrets, ClusterSpec, NodeSpec
from ccx.network.mirror.sources import node_packages, node_sources
from ccx.runner.steps.network import rules
from ccx.settings import Paths, Settings

_INSTALL = """\
set -e
export DEBIAN_FRONTEND=noninteractive
mv /etc/apt/sources.list /etc/apt/sources.list.before || true
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
apt-get -q -o Acquire::Languages=none update
apt-get -q -o Dpkg::Options::=--force-unsafe-io install -y --no-install-recommends {packages}
rm /usr/sbin/policy-rc.d
systemctl disable {off}
"""


class ByHand(Protocol):
    """A kind of cluster, as somebody's script makes it."""

    vendor: str
    topology: str
    version: str
    listens: int
    """The port by which a node is seen to be up."""
    start: str
    """A shell's command that returns at once, the files being there."""

    def files(self, cluster: ClusterSpec, label: str) -> list[NodeFile]: ...

    async def whole(self, cluster: ClusterSpec) -> bool:
        """It accepts writes, and all its copies are there."""

    async def close(self) -> None: ...


class RawCluster:
    """Three machines on an installation's cloud, that its control plane knows nothing of.

    With its ``settings`` they start from the stock image.
    """

    def __init__(
        self, place: Place, cloud: LocalCloud, kind: ByHand, size: int = 3, settings: Settings | None = None
    ) -> None:
        self._stock = settings
        self._kind = kind
        self._place = place
        self._cloud = cloud
        self._size = size
        self._short_id = f"raw{secrets.token_hex(4)}"
        self._engine = engines.get(kind.vendor, Settings(paths=Paths.of(place.instance)), kind.topology)
        self.stages: dict[str, float] = {}
        """Seconds that each took."""

    async def create(self) -> None:
        """From nothing to a primary that accepts writes, replicas that stream, and a synchronous copy."""
        clock = _Stages(self.stages)
        cluster = self._plan()
        host, resolver = str(self._place.host), str(self._place.router)
        plain = self._stock or Settings(paths=Paths.of(self._place.instance))
        settings = plain.model_copy(update={"control_address": host, "resolver_address": resolver})
        wanted = rules(settings, self._engine, [host])
        await self._cloud.put_firewall(Firewall(self._name("firewall"), wanted), self._tags())
        making: list[asyncio.Task[None]] = []
        await asyncio.gather(*(self._volume(node) for node in cluster.nodes))
        for node in cluster.nodes:
            # The cloud gives addresses in the order of the requests: the next one only when this one has its own.
            making.append(asyncio.create_task(self._server(cluster, node)))
            await _until(partial(self._has_address, node))
        await asyncio.gather(*making)
        clock.ended("machines")
        for node in cluster.nodes:
            await _until(partial(_listens, node.address, self._kind.listens), within=600)
        clock.ended("boot")
        await _until(partial(self._kind.whole, cluster), within=600)
        clock.ended("form")

    async def remove(self) -> None:
        await self._kind.close()
        mine = [r for r in await self._cloud.inventory(self._place.instance) if r.tags.datastore == self._short_id]
        named = {kind: [r.name for r in mine if r.kind is kind] for kind in ResourceKind}
        await asyncio.gather(*(self._cloud.delete_server(s, self._tags()) for s in named[ResourceKind.SERVER]))
        await asyncio.gather(*(self._cloud.delete_volume(v, self._tags()) for v in named[ResourceKind.VOLUME]))
        await self._cloud.delete_firewall(self._name("firewall"), self._tags())

    def _plan(self) -> ClusterSpec:
        """Who will have which address and which certificate."""
        remembered = self._place.var / "state.json"
        last = json.loads(remembered.read_text())["last_slot"] if remembered.exists() else 0
        first = max(last + 1, FIRST_NODE)
        labels = [f"n{index}g1" for index in range(1, self._size + 1)]
        nodes = tuple(
            NodeSpec(label, label, f"{label}.{self._short_id}.db.test", str(self._place.node(first + at)), "")
            for at, label in enumerate(labels)
        )
        ca = pki.new_ca("raw")
        names = [f"{self._short_id}.db.test", f"ro.{self._short_id}.db.test", "localhost"]
        return ClusterSpec(
            id=self._short_id, short_id=self._short_id, vendor=self._kind.vendor, version=self._kind.version,
            cluster_type=self._kind.topology, nodes=nodes, primary_name=names[0], replicas_name=names[1],
            memory_mib=1024, cpus=1, admin_user="ccxadmin", admin_database="defaultdb",
            secrets=ClusterSecrets(
                superuser=secrets.token_hex(12), replication=secrets.token_hex(12), rewind=secrets.token_hex(12),
                admin=secrets.token_hex(12), ca=ca.certificate, control=pki.issue(ca, "raw script", server=False),
                nodes={
                    n.label: pki.issue(ca, n.hostname, [n.hostname, *names], [n.address, "127.0.0.1"]) for n in nodes
                },
            ),
        )  # fmt: skip

    async def _volume(self, node: NodeSpec) -> None:
        await self._cloud.create_volume(VolumeSpec(self._name(node.label), 10, "ssd", "local"), self._tags())

    async def _server(self, cluster: ClusterSpec, node: NodeSpec) -> None:
        name = self._name(node.label)
        told = _user_data(self._kind, cluster, node, self._stock, self._engine.software)
        image = "stock" if self._stock else self._engine.image
        spec = ServerSpec(name, node.hostname, "1x1", "local", name, self._name("firewall"), told, image)
        made = await self._cloud.create_server(spec, self._tags())
        assert made.private_ip == node.address, f"{node.label} has {made.private_ip}, not {node.address}"

    async def _has_address(self, node: NodeSpec) -> bool:
        return await self._cloud.get_server(self._name(node.label)) is not None

    def _name(self, what: str) -> str:
        return f"ccx-{self._place.instance}-{self._short_id}-{what}"

    def _tags(self) -> Tags:
        return Tags(self._place.instance, self._short_id, 1)


class _Stages:
    def __init__(self, into: dict[str, float]) -> None:
        self._into = into
        self._last = time.monotonic()

    def ended(self, name: str) -> None:
        now = time.monotonic()
        self._into[name], self._last = now - self._last, now


def _user_data(
    kind: ByHand, cluster: ClusterSpec, node: NodeSpec, stock: Settings | None, software: Software
) -> str:  # fmt: skip
    private, _ = pki.new_ssh_key()
    files = [file.to_json() for file in kind.files(cluster, node.label)]
    owners = {f["path"]: f["owner"] for f in files}
    files.append({"path": "/etc/ssh/ssh_host_ed25519_key", "content": private, "mode": "0600", "owner": "root"})
    start = kind.start
    if stock is not None:
        # Its users come with the packages.
        files = [{**f, "owner": "root"} for f in files] + _sources(cluster, stock, software)
        install = _INSTALL.format(
            packages=" ".join(node_packages(cluster.vendor, cluster.version)), off=" ".join(software.off)
        )
        give = "".join(f"chown {owner}:{owner} {path}\n" for path, owner in owners.items() if owner != "root")
        files.append({"path": "/root/install.sh", "content": install + give, "mode": "0755", "owner": "root"})
        # Beside the boot, as the control plane's nodes do theirs.
        start = f"systemd-run --no-block sh -c 'sh /root/install.sh && systemctl daemon-reload && {kind.start}'"
    told = {
        "fqdn": node.hostname,
        "manage_etc_hosts": "localhost",
        "ssh_deletekeys": False,
        "users": [],
        "apt": {"preserve_sources_list": True},
        "cloud_init_modules": ["write_files", "bootcmd", "set_hostname", "update_etc_hosts"],
        "cloud_config_modules": [],
        "cloud_final_modules": [],
        "write_files": [
            {"path": f["path"], "content": f["content"], "permissions": f["mode"], "owner": f"{f['owner']}:root"}
            for f in files
        ],
        "bootcmd": [start],
    }
    return "#cloud-config\n" + yaml.safe_dump(told, sort_keys=False, width=1000)


def _sources(cluster: ClusterSpec, settings: Settings, software: Software) -> list[dict[str, Any]]:
    """apt's sources, the key that they are checked with, and what keeps packages from doing more than we want."""
    key = "/etc/raw-mirror.asc"
    lines = [
        f"deb [signed-by={key}] {s.uri} {suite.format(codename=SUITE)} {' '.join(s.components)}\n"
        for s in node_sources(settings, cluster.vendor, cluster.version)
        for suite in s.suites
    ]
    texts = {
        key: Path(settings.mirror.key).read_text(), "/etc/apt/sources.list.d/raw.list": "".join(lines),
        **dict(software.files),
    }  # fmt: skip
    return [{"path": path, "content": content, "mode": "0644", "owner": "root"} for path, content in texts.items()]


async def _until(condition: Callable[[], Awaitable[bool]], within: float = 120) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - machines set no event
            await asyncio.sleep(0.05)


async def _listens(address: str, port: int) -> bool:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.5):
            _, writer = await asyncio.open_connection(address, port)
        writer.close()
        return True
    return False
