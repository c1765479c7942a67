"""What a case is made of: a datastore and the job under test on it, and what may be said of any datastore."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.cloud_conformance import eventually
from tests.integration.saga.installation import CLOUD, SagaInstallation

from ccx import jobs
from ccx.clouds.base import ServerState
from ccx.cmon.spec import ClusterView
from ccx.ids import new_id
from ccx.runner.subject import Subject, datastore_scope, node_scope
from ccx.stores import datastores, nodes
from ccx.stores.models import Datastore, NodeStatus, Status

OWNER = ("user", new_id())
_NOTHING_BY_ITSELF = {"full": "", "incremental": "", "verify": "", "drill": ""}
_ANOTHER_JOB_WITHIN_S = 240
_ANSWERS_WITHIN_S = 20


@dataclass
class Saga:
    """One datastore, and the job that is under test on it."""

    installation: SagaInstallation
    datastore_id: UUID
    short_id: str
    args: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)
    """What preparing it left to compare with."""

    async def datastore(self) -> Datastore:
        async with self.installation.services.sessions() as tx:
            return await datastores.get(tx, self.datastore_id)

    async def subject(self) -> Subject:
        return await Subject.load(self.installation.services, self.datastore_id)

    async def done(self, kind: str, /, **args: Any) -> None:
        """Has another job done first, one that nobody meddles with."""
        services, key = self.installation.services, str(self.datastore_id)
        async with services.sessions.begin() as tx:
            job_id = await jobs.enqueue(tx, kind, key=key, args={"datastore_id": key, **args})

        async def over() -> bool:
            async with services.sessions() as tx:
                job = await jobs.get(tx, job_id)
            assert job is not None
            assert job.error is None, job
            return job.status.is_final

        await eventually(over, within=_ANOTHER_JOB_WITHIN_S)

    async def idle(self) -> None:
        """Returns when no job of the datastore is left, those that another one began included."""

        async def all_over() -> bool:
            async with self.installation.services.sessions() as tx:
                found, _ = await jobs.history(tx, str(self.datastore_id))
            return all(job.status.is_final for job in found)

        await eventually(all_over, within=_ANOTHER_JOB_WITHIN_S)

    async def wanted_on_cloud(self) -> set[tuple[str, str]]:
        """What the stores say that the cloud should have."""
        subject = await self.subject()
        wanted = {("firewall", subject.firewall_name)}
        for node in nodes.present(subject.datastore):
            wanted |= {("server", node.server), ("volume", node.volume)}
        return wanted

    async def running(self) -> set[str]:
        """Names of its servers that are on."""
        cloud = self.installation.services.clouds[CLOUD]
        found = {}
        for kind, name in await self.installation.on_cloud(self.short_id):
            if kind == "server":
                found[name] = await cloud.get_server(name)
        return {name for name, server in found.items() if server and server.state is ServerState.RUNNING}

    async def secrets_left(self) -> list[str]:
        """Scopes of the datastore in which the vault still keeps something."""
        vault, datastore = self.installation.services.vault, await self.datastore()
        scopes = [datastore_scope(datastore.id), *(node_scope(n.id) for n in datastore.nodes)]
        async with self.installation.services.sessions() as tx:
            return [scope for scope in scopes if await vault.get_all(tx, scope)]


Check = Callable[[Saga], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    kind: str
    size: int
    made_first: bool
    """Whether the datastore is created (by the operation for it) before this one begins."""
    prepare: Check
    """Runs last before the job is queued; may set ``saga.args``."""
    check_done: Check
    check_undone: Check | None
    """None: the operation has no way back from its first step on."""
    slow: bool = False
    """Its preparation takes long; all its tests are for a whole run."""
    what: str = ""
    """Which of several cases of the same kind."""

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.what}" if self.what else self.kind


async def new_saga(installation: SagaInstallation, size: int) -> Saga:
    """A datastore that is asked for and not made yet."""
    async with installation.services.sessions.begin() as tx:
        datastore = await datastores.add(
            tx, OWNER, name=f"saga-{new_id()}", vendor="simulated", version="1", cluster_type="simulated", size=size,
            cloud=CLOUD, region="here", instance_size="tiny", volume_type="disk", volume_size=10,
            backup_policy=_NOTHING_BY_ITSELF,
        )  # fmt: skip
    return Saga(installation, datastore.id, datastore.short_id, {"datastore_id": str(datastore.id)})


async def nothing(saga: Saga) -> None:
    """Needs no preparation."""


async def serves(saga: Saga) -> None:
    """The stores, the cloud, the cluster and the names agree, and nothing was made twice."""
    datastore, installation = await saga.datastore(), saga.installation
    present = nodes.own(datastore)
    assert datastore.status is Status.STARTED, datastore.status_text
    assert sorted(n.index for n in present) == list(range(1, datastore.size + 1))
    assert {n.status for n in present} == {NodeStatus.ACTIVE}
    assert {n.status for n in nodes.present(datastore) if n not in present} <= {NodeStatus.KEPT}
    assert await installation.on_cloud(saga.short_id) == await saga.wanted_on_cloud()
    assert await installation.made_twice(saga.short_id) == []
    cluster = await installation.cluster(datastore.id, datastore.branch)
    assert cluster is not None
    assert set(cluster["members"]) == {n.label for n in present}
    assert cluster["split_brains"] == 0
    view = await _seen(await saga.subject())
    assert not view.problems
    assert view.primary is not None
    names = installation.names.of(saga.short_id)
    assert names[(await saga.subject()).primary_name] == [view.primary.address]
    assert {n.hostname for n in present} < set(names)


async def _seen(subject: Subject) -> ClusterView:
    """The cluster, without problems if it is so soon: on a busy machine a node may not answer the first time."""
    spec, seen = await subject.cluster(), []

    async def whole() -> bool:
        seen.append(await subject.engine.observe(spec))
        return not seen[-1].problems

    with suppress(TimeoutError):
        await eventually(whole, within=_ANSWERS_WITHIN_S)
    return seen[-1]


async def gone(saga: Saga, status: Status) -> None:
    datastore, installation = await saga.datastore(), saga.installation
    assert await installation.on_cloud(saga.short_id) == set()
    assert installation.names.of(saga.short_id) == {}
    assert nodes.present(datastore) == []
    assert await saga.secrets_left() == []
    assert await installation.made_twice(saga.short_id) == []
    assert datastore.status is status


async def never_was(saga: Saga) -> None:
    await gone(saga, Status.DEPLOY_FAILED)
    assert (await saga.datastore()).status_text


async def is_deleted(saga: Saga) -> None:
    await gone(saga, Status.DELETED)


async def want_gone(saga: Saga) -> None:
    async with saga.installation.services.sessions.begin() as tx:
        datastores.want_absent(tx, await datastores.get(tx, saga.datastore_id))
