"""The engine on real machines without the rest of the control plane: what stands between the two is what is tested."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from tests.e2e.enrol_server import Enrolments, enrol_server

from ccx import pki
from ccx.clouds.base import Direction, Firewall, Rule, ServerSpec, Tags, Unavailable, VolumeSpec
from ccx.clouds.local import LocalCloud
from ccx.clouds.local.image import ensure_image
from ccx.clouds.local.place import Place
from ccx.cmon.bootstrap import user_data
from ccx.cmon.engines.postgres import PostgresEngine
from ccx.cmon.packages import AptRepository, build_repository
from ccx.cmon.spec import ClusterSecrets, ClusterSpec, ClusterView, KeyPair, NodeSpec
from ccx.cmon.ssh_channel import SshChannel
from ccx.embedded import subnet
from ccx.settings import Settings
from ccx.settings.model import Paths

SHORT_ID = "enginetst"
FIREWALL = "engine-test"
_PASSWORDS = ("superuser", "replication", "rewind", "admin")


@dataclass
class Bench:
    """A datastore's machines and keys; the test process is its control plane, at the host's own address."""

    place: Place
    cloud: LocalCloud
    enrolments: Enrolments
    folder: Path
    installation_ca: pki.KeyPair
    repository: AptRepository
    ssh_public: str
    channel: SshChannel
    engine: PostgresEngine
    datastore_ca: pki.KeyPair = field(default_factory=lambda: pki.new_ca("engine test"))
    passwords: dict[str, str] = field(default_factory=lambda: {name: secrets.token_hex(12) for name in _PASSWORDS})
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    pairs: dict[str, KeyPair] = field(default_factory=dict)
    token: int = 1
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of what was done, by name."""

    def __post_init__(self) -> None:
        control = pki.issue(self.datastore_ca, "control plane", server=False)
        self.control = KeyPair(control.certificate, control.key)
        self.ca_file = self.folder / "datastore.crt"
        self.ca_file.write_text(self.datastore_ca.certificate)

    def tags(self) -> Tags:
        return Tags(self.place.instance, SHORT_ID, self.token)

    def cluster(self, *without: str) -> ClusterSpec:
        """All present nodes but these."""
        return ClusterSpec(
            id="engine-test", short_id=SHORT_ID, vendor="postgres", version="17", cluster_type="postgres_streaming",
            nodes=tuple(node for label, node in sorted(self.nodes.items()) if label not in without),
            primary_name=f"{SHORT_ID}.db.test", replicas_name=f"ro.{SHORT_ID}.db.test", memory_mib=1024, cpus=1,
            admin_user="ccxadmin", admin_database="defaultdb", client_sources=("0.0.0.0/0",),
            secrets=ClusterSecrets(
                **self.passwords, ca=self.datastore_ca.certificate, nodes=self.pairs, control=self.control
            ),
        )  # fmt: skip

    async def open_firewall(self) -> None:
        host = f"{self.place.host}/32"
        into = [Rule(Direction.INGRESS, "tcp", port, host) for port in (22, *(p.number for p in self.engine.ports))]
        peers = [
            Rule(direction, "tcp", port.number, "self")
            for port in self.engine.ports
            for direction in Direction
            if port.peers
        ]
        out = [Rule(Direction.EGRESS, "tcp", 443, host)]
        await self.cloud.put_firewall(Firewall(FIREWALL, tuple(into + peers + out)), self.tags())

    async def boot(self, *labels: str) -> None:
        """Makes machines and waits until they have phoned home; they have their certificates then."""
        started = time.monotonic()
        tokens = await asyncio.gather(*(self._make(label) for label in labels))
        self.stages["machines made"] = time.monotonic() - started
        try:
            await self.enrolments.until_ready(list(tokens), within=120)
        except TimeoutError:
            consoles = [(self.place.machines / label / "console.log").read_text()[-2000:] for label in labels]
            enrolled = [token in self.enrolments.enrolled for token in tokens]
            raise AssertionError(f"{labels} did not phone home; enrolled: {enrolled}; {consoles}") from None
        self.stages["phoned home"] = time.monotonic() - started

    async def _make(self, label: str) -> str:
        private, public = pki.new_ssh_key()
        token, hostname = secrets.token_urlsafe(24), f"{label}.{SHORT_ID}.db.test"
        self.enrolments.host_keys[token] = private
        told = user_data(
            hostname=hostname, control_url=f"https://{self.place.host}", token=token,
            installation_ca=self.installation_ca.certificate, apt_key=self.repository.public_key_armored,
            authorized_key=self.ssh_public,
        )  # fmt: skip
        await self.cloud.create_volume(VolumeSpec(label, 5, "ssd", "local"), self.tags())
        server = await self.cloud.create_server(
            ServerSpec(label, hostname, "1x1", "local", label, FIREWALL, told), self.tags()
        )
        assert server.private_ip is not None
        self.nodes[label] = NodeSpec(label, label, hostname, server.private_ip, public)
        names = [hostname, f"{SHORT_ID}.db.test", f"ro.{SHORT_ID}.db.test", "localhost"]
        pair = pki.issue(self.datastore_ca, hostname, names, [server.private_ip, "127.0.0.1"])
        self.pairs[label] = KeyPair(pair.certificate, pair.key)
        return token

    async def remove(self, label: str) -> None:
        await self.cloud.delete_server(label, self.tags())
        await self.cloud.delete_volume(label, self.tags())
        del self.nodes[label], self.pairs[label]

    async def whole(self, within: float = 60) -> ClusterView:
        """Returns when nothing is amiss; fails saying what is."""
        deadline = time.monotonic() + within
        while True:
            view = await self.engine.observe(self.cluster())
            if not view.problems:
                return view
            assert time.monotonic() < deadline, f"after {within} s: {view.problems}"
            await asyncio.sleep(0.1)

    def connection(self, label: str, name: str | None = None, **more: Any) -> dict[str, Any]:
        """libpq's parameters for a node, as an application's: verified against the datastore's CA by name."""
        return {
            "host": name or f"{SHORT_ID}.db.test", "hostaddr": self.nodes[label].address, "port": 5432,
            "user": "ccxadmin", "password": self.passwords["admin"], "dbname": "defaultdb",
            "sslmode": "verify-full", "sslrootcert": str(self.ca_file), "connect_timeout": 5, **more,
        }  # fmt: skip

    async def connect(self, label: str, **more: Any) -> psycopg.AsyncConnection[TupleRow]:
        return await psycopg.AsyncConnection.connect(**self.connection(label, **more), autocommit=True)

    def print_stages(self) -> None:
        print("\n" + "\n".join(f"{seconds:7.2f} s  {stage}" for stage, seconds in self.stages.items()))


@asynccontextmanager
async def bench(instance: str, folder: Path) -> AsyncIterator[Bench]:
    """A local cloud of its own, removed with all that is in it."""
    network = await free_subnet(instance)
    place = Place(instance, network)
    ca = pki.new_ca("engine test's installation")
    private, public = pki.new_ssh_key()
    await asyncio.to_thread(ensure_image, "baked")
    repository = await asyncio.to_thread(build_repository, folder / "apt", folder / "key")
    # By address: the settings name no network, so the contract's groups are checked by port.
    engine = PostgresEngine(Settings(paths=Paths.of(instance)))
    channel = SshChannel(private)
    cloud = LocalCloud(place.socket)
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ccx.clouds.local.daemon", f"--instance={instance}", f"--subnet={network}", "--group=root"
    )
    try:
        await _answers(cloud, daemon)
        async with enrol_server(str(place.host), ca, repository, folder) as enrolments:
            made = Bench(place, cloud, enrolments, folder, ca, repository, public, channel, engine)
            await made.open_firewall()
            yield made
    finally:
        await channel.close()
        await engine.close()
        await cloud.close()
        if daemon.returncode is None:
            daemon.terminate()
        await daemon.wait()
        teardown = [sys.executable, "-m", "ccx.clouds.local.teardown", f"--instance={instance}"]
        ended = await asyncio.create_subprocess_exec(*teardown)
        assert await ended.wait() == 0


async def _answers(cloud: LocalCloud, daemon: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while True:
            assert daemon.returncode is None, "the local cloud's daemon ended"
            try:
                await cloud.get_server("nobody")
                return
            except (Unavailable, OSError):
                await asyncio.sleep(0.05)


async def free_subnet(instance: str) -> IPv4Network:
    """A /20 that nothing on this machine uses; away from those that installations take first."""
    used = [network for network, _ in await subnet.taken(instance)]
    candidates = list(IPv4Network("10.236.0.0/14").subnets(new_prefix=20))
    start = os.getpid() % len(candidates)
    return next(c for c in candidates[start:] + candidates[:start] if not any(c.overlaps(network) for network in used))
