"""An installation on the simulated cloud: everything that operations work with, and ways to look at what they left."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.seaweedfs import SeaweedFs

from ccx import jobs
from ccx.clouds.base import ServerState
from ccx.clouds.registry import make_cloud
from ccx.clouds.simulated.control import Control
from ccx.cmon.engines.simulated import SimulatedEngine
from ccx.cmon.simulated_channel import SimulatedChannel
from ccx.db import make_engine, make_session_factory, utc_now
from ccx.errors import CcxError, Transient
from ccx.runner.services import Installation, Services
from ccx.secrets import KeyRing, Vault
from ccx.settings import Settings
from ccx.settings.model import CloudConfig, Database, InstanceType, Paths, Region, TypeOfCluster, VolumeType
from ccx.storage.access import IamAccess
from ccx.storage.s3 import client
from ccx.stores import nodes
from ccx.stores.models import Node

INSTANCE = "saga"
CLOUD = "sim"
USERS_STAY_S = 5.0
_BUSY = """\
select short_id from stores.datastore
where id::text in (select key from jobs.job where status not in ('done', 'failed', 'cancelled'))"""


class FileNames:
    """Names as files, one a datastore: they outlive a runner, and a test can look for what was left."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(exist_ok=True)

    async def publish(self, zone_part: str, records: Mapping[str, Sequence[str]]) -> None:
        path = self._directory / zone_part
        if not records:
            path.unlink(missing_ok=True)
            return
        new = path.with_suffix(f".{os.getpid()}")
        new.write_text(json.dumps(dict(records)))
        new.replace(path)

    def of(self, zone_part: str) -> dict[str, list[str]]:
        path = self._directory / zone_part
        return json.loads(path.read_text()) if path.exists() else {}


@dataclass(frozen=True)
class Made:
    """Where an installation's parts are: enough for another process to work on it."""

    directory: str
    socket: str
    dsn: str
    store: str = ""
    """Folder of the keys to an object store, as :mod:`tests.seaweedfs` makes it; empty: there is none."""
    endpoint: str = ""
    """Of that store."""


def settings_of(made: Made) -> Settings:
    cloud = CloudConfig(
        code=CLOUD,
        type="simulated",
        name="Simulated",
        regions=(Region(code="here", name="Here"),),
        instance_types=(InstanceType(code="tiny", name="Tiny", type="t1", cpu=1, ram=1),),
        volume_types=(VolumeType(code="disk", name="Disk"),),
        endpoint=made.socket,
        **_store(made),
    )
    database = Database(
        code="simulated",
        name="Simulated",
        versions=("1",),
        num_nodes=(1, 2, 3),
        types=(TypeOfCluster(code="simulated", name="Simulated"),),
    )
    return Settings(
        instance=INSTANCE,
        paths=Paths.of(INSTANCE),
        dsn=made.dsn,
        clouds=(cloud,),
        databases=(database,),
        control_address="198.18.0.2",
        resolver_address="198.18.0.1",
    )


def _store(made: Made) -> dict[str, Any]:
    if not made.store:
        return {}
    folder = Path(made.store)
    return {
        "s3_endpoint": made.endpoint, "s3_bucket": "backups", "s3_ca": folder / "ca.crt",
        "s3_credentials": folder / "credentials",
    }  # fmt: skip


@asynccontextmanager
async def services_of(made: Made) -> AsyncIterator[tuple[Services, AsyncEngine]]:
    """What a runner is given, made in this process."""
    settings = settings_of(made)
    engine = make_engine(made.dsn)
    channel = SimulatedChannel(Path(made.socket))
    cloud = make_cloud(settings.clouds[0], settings)
    simulated = SimulatedEngine(channel)
    services = Services(
        settings=settings,
        sessions=make_session_factory(engine),
        vault=Vault(KeyRing.load(Path(made.directory))),
        clouds={CLOUD: cloud},
        channel=channel,
        names=FileNames(Path(made.directory) / "names"),
        installation=Installation("ca", "https://198.18.0.2", "ssh-ed25519 AAAA", "apt key"),
        engine=lambda vendor, topology="": simulated,
    )
    try:
        yield services, engine
    finally:
        await cloud.close()
        await channel.close()
        await engine.dispose()


async def phone_home(services: Services, control: Control) -> None:
    """For ever, what booted nodes do through the control plane's HTTP API, which sagas run without."""
    waiting = select(Node).where(Node.phoned_home_at.is_(None))
    while True:
        # A node tries again when it gets no answer: on a busy machine a request may take too long.
        with suppress(httpx.TransportError, OperationalError):
            async with services.sessions() as tx:
                awaited = list(await tx.scalars(waiting))
            servers = await control.documents("server") if awaited else {}
            for node in awaited:
                if servers.get(node.server, {}).get("state") != ServerState.RUNNING:
                    continue
                # Each for itself, as their requests would be.
                async with services.sessions.begin() as tx:
                    # A job's row first, as jobs do: or this and the node's release may wait for each other.
                    await jobs.wake(tx, str(node.datastore_id))
                    (await nodes.get(tx, node.id)).phoned_home_at = utc_now()
        await asyncio.sleep(0.05)


async def forget_users(engine: AsyncEngine, store: SeaweedFs) -> None:
    """For ever, removes the store's users of datastores that no job is about any more: nothing here uses their keys.

    For each change of one this store compiles the policies of all, once for each of them: with a hundred, making a
    user takes it seconds.
    """
    iam, own = client("iam", store.location, store.keys, ""), f"ccx-{INSTANCE}-"
    async with IamAccess(store.location, store.keys) as access:
        while True:
            await asyncio.sleep(USERS_STAY_S)
            with suppress(OperationalError, CcxError, Transient):  # a busy machine; it comes again
                names = [user["UserName"] for user in (await asyncio.to_thread(iam.list_users))["Users"]]
                async with engine.connect() as connection:
                    busy = set(await connection.scalars(text(_BUSY)))
                for name in names:
                    if name.startswith(own) and name.removeprefix(own).removesuffix("-origin") not in busy:
                        await access.revoke(name)


@dataclass
class SagaInstallation:
    """The tests' view: the services, and the simulated cloud from behind."""

    made: Made
    services: Services
    engine: AsyncEngine
    control: Control

    @property
    def names(self) -> FileNames:
        names = self.services.names
        assert isinstance(names, FileNames)
        return names

    async def on_cloud(self, short_id: str) -> set[tuple[str, str]]:
        """Kind and name of everything that the cloud has of a datastore."""
        found = await self.services.clouds[CLOUD].inventory(INSTANCE)
        return {(r.kind.value, r.name) for r in found if r.tags.datastore == short_id}

    async def made_twice(self, short_id: str) -> list[str]:
        """Names that came into being more than once: a second server where one existed, or was deleted for good."""
        made: dict[str, int] = {}
        for call in await self.control.calls():
            if call.datastore == short_id and call.changed and call.call.startswith("create_"):
                made[call.name] = made.get(call.name, 0) + 1
        return [name for name, times in made.items() if times > 1]

    async def cluster(self, datastore_id: UUID, branch: int = 0) -> dict[str, Any] | None:
        """The simulated database's own record of a datastore."""
        name = f"{datastore_id}/{branch}" if branch else str(datastore_id)
        return (await self.control.documents("cluster")).get(name)


@asynccontextmanager
async def saga_installation(
    directory: Path, socket: Path, dsn: str, store: SeaweedFs | None = None
) -> AsyncIterator[SagaInstallation]:
    """A new installation over a database and a simulated cloud, whose nodes phone home; and a real object store."""
    KeyRing.create(directory)
    made = Made(str(directory), str(socket), dsn)
    if store is not None:
        credentials = store.folder / "credentials"
        credentials.write_text(f"{store.keys.access_key}\n{store.keys.secret_key}\n")
        credentials.chmod(0o600)
        made = replace(made, store=str(store.folder), endpoint=store.location.endpoint)
    control = Control(socket)
    async with services_of(made) as (services, engine):
        aside = [asyncio.create_task(phone_home(services, control))]
        if store is not None:
            aside.append(asyncio.create_task(forget_users(engine, store)))
        try:
            yield SagaInstallation(made, services, engine, control)
        finally:
            for task in aside:
                task.cancel()
            ended = await asyncio.gather(*aside, return_exceptions=True)
            await control.close()
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
