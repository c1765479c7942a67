"""What the suite runs over: an operation, how to prepare a datastore for it, and what must be true afterwards.

Adding an operation is adding a line to ``CASES``; the suite finds its steps by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.cloud_conformance import eventually
from tests.integration.saga.installation import CLOUD, SagaInstallation

import ccx.runner.backup_datastore
import ccx.runner.confirm_restore
import ccx.runner.create_datastore
import ccx.runner.delete_datastore
import ccx.runner.drill_datastore
import ccx.runner.probe_network
import ccx.runner.replace_node
import ccx.runner.restore_datastore
import ccx.runner.restore_in_place
import ccx.runner.rotate_certificates
import ccx.runner.undo_restore
from ccx import jobs
from ccx.clouds.base import ServerState
from ccx.cmon.backup import BacksUp, Kind
from ccx.db import utc_now
from ccx.ids import new_id
from ccx.runner import branches, repositories
from ccx.runner.subject import Subject, datastore_scope, node_scope
from ccx.stores import backups, datastores, nodes
from ccx.stores.models import Datastore, Desired, NodeStatus, Status

OWNER = ("user", new_id())


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

    async def wanted_on_cloud(self) -> set[tuple[str, str]]:
        """What the stores say that the cloud should have."""
        subject = await self.subject()
        wanted = {("firewall", subject.firewall_name)}
        for node in nodes.present(subject.datastore):
            wanted |= {("server", node.server), ("volume", node.volume)}
        return wanted

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


async def new_saga(installation: SagaInstallation, size: int) -> Saga:
    """A datastore that is asked for and not made yet."""
    async with installation.services.sessions.begin() as tx:
        datastore = await datastores.add(
            tx, OWNER, name=f"saga-{new_id()}", vendor="simulated", version="1", cluster_type="simulated", size=size,
            cloud=CLOUD, region="here", instance_size="tiny", volume_type="disk", volume_size=10,
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
    view = await (await saga.subject()).engine.observe(await (await saga.subject()).cluster())
    assert not view.problems
    assert view.primary is not None
    names = installation.names.of(saga.short_id)
    assert names[(await saga.subject()).primary_name] == [view.primary.address]
    assert {n.hostname for n in present} < set(names)


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


async def lose_primary(saga: Saga) -> None:
    """The primary's machine dies, and a replica has taken over, as it is when a repair begins."""
    subject = await saga.subject()
    cluster = await subject.cluster()
    primary = (await subject.engine.observe(cluster)).primary
    assert primary is not None
    lost = next(n for n in subject.datastore.nodes if n.label == primary.label)
    await saga.installation.control.kill(lost.server)
    await subject.engine.release_leader(cluster, lost.label)

    async def taken_over() -> bool:
        return (await subject.engine.observe(cluster)).primary is not None

    await eventually(taken_over, within=10)
    saga.args["node_id"] = str(lost.id)
    saga.notes = {"lost": lost.id, "cloud": await saga.installation.on_cloud(saga.short_id)}


async def is_replaced(saga: Saga) -> None:
    await serves(saga)
    lost = next(n for n in (await saga.datastore()).nodes if n.id == saga.notes["lost"])
    assert lost.status is NodeStatus.RETIRED


async def is_not_replaced(saga: Saga) -> None:
    """As before, but that the cluster may have forgotten the lost node: the others serve, nothing new is left."""
    datastore = await saga.datastore()
    assert await saga.installation.on_cloud(saga.short_id) == saga.notes["cloud"]
    assert {n.status for n in datastore.nodes if n.generation > 1} <= {NodeStatus.RETIRED}
    cluster = await saga.installation.cluster(datastore.id)
    assert cluster is not None
    lost = {n.label for n in datastore.nodes if n.id == saga.notes["lost"]}
    assert set(cluster["members"]) | lost == {n.label for n in datastore.nodes if n.generation == 1}


async def never_be(saga: Saga) -> None:
    """As the row of a temporary node's datastore is."""
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        datastore.desired, datastore.status = Desired.ABSENT, Status.DELETED
    saga.args |= {"rows": [], "planned": False}


async def was_probed(saga: Saga) -> None:
    await gone(saga, Status.DELETED)
    async with saga.installation.services.sessions() as tx:
        (job, *_), _ = await jobs.history(tx, str(saga.datastore_id), 1, 0)
        report = next(s.result for s in await jobs.steps(tx, job.id) if s.name == ccx.runner.probe_network.REPORT)
    assert report["ok"]
    assert {"node.control-plane", "node.dns-udp"} <= {o["id"] for o in report["outcomes"] if o["result"] == "ok"}


async def know_certificates(saga: Saga) -> None:
    saga.notes["certificates"] = await _certificates(saga)


async def has_new_certificates(saga: Saga) -> None:
    """Each of them once, and nothing of the change is kept."""
    await serves(saga)
    before, now = saga.notes["certificates"], await _certificates(saga)
    assert now.keys() == before.keys()
    assert not {label for label, pem in now.items() if pem == before[label]}
    async with saga.installation.services.sessions() as tx:
        for node in (await saga.datastore()).nodes:
            kept = await saga.installation.services.vault.get_all(tx, node_scope(node.id))
            assert not [name for name in kept if "next" in name]


async def _certificates(saga: Saga) -> dict[str, str]:
    secrets = (await (await saga.subject()).cluster()).secrets
    return {label: pair.certificate for label, pair in secrets.nodes.items()} | {"control": secrets.control.certificate}


async def want_another_time(saga: Saga) -> None:
    """As a request for a restore in place leaves it."""
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        number = branches.begin(datastore, datastore.branch, utc_now())
        datastore.restoring = {"branch": number, "of": datastore.branch, "state": branches.PREPARING}
    saga.args |= {"branch": number, "label": "JOB_TYPE_BACKUP"}
    saga.notes |= {"before": {n.label for n in nodes.members(datastore)}, "branch": datastore.branch}


async def is_restored(saga: Saga) -> None:
    """The new nodes serve, and those of before are there, off."""
    await serves(saga)
    datastore = await saga.datastore()
    kept = [n for n in datastore.nodes if n.status is NodeStatus.KEPT]
    assert {n.label for n in kept} == saga.notes["before"]
    assert await _running(saga) == {n.server for n in nodes.members(datastore)}
    assert branches.state(datastore) == branches.KEPT
    assert [branch for _, branch in datastore.served] == [datastore.branch]


async def is_as_before(saga: Saga) -> None:
    """Those who served do so, and nothing else is left."""
    await serves(saga)
    datastore = await saga.datastore()
    assert {n.label for n in nodes.present(datastore)} == saga.notes["before"]
    assert await _running(saga) == {n.server for n in nodes.members(datastore)}
    assert (datastore.restoring, datastore.branch) == (None, saga.notes["branch"])


async def restore(saga: Saga) -> None:
    await want_another_time(saga)
    services, key = saga.installation.services, str(saga.datastore_id)
    async with services.sessions.begin() as tx:
        restoring = await jobs.enqueue(tx, "restore_in_place", key=key, args=saga.args)

    async def ended() -> bool:
        async with services.sessions() as tx:
            job = await jobs.get(tx, restoring)
            return job is not None and job.status.is_final

    await eventually(ended, within=60)
    await is_restored(saga)
    saga.args = {"datastore_id": key}


async def is_confirmed(saga: Saga) -> None:
    await serves(saga)
    datastore = await saga.datastore()
    assert nodes.present(datastore) == nodes.members(datastore)
    assert (datastore.restoring, datastore.branch) == (None, 1)


async def _running(saga: Saga) -> set[str]:
    cloud = saga.installation.services.clouds[CLOUD]
    found = {}
    for kind, name in await saga.installation.on_cloud(saga.short_id):
        if kind == "server":
            found[name] = await cloud.get_server(name)
    return {name for name, server in found.items() if server and server.state is ServerState.RUNNING}


async def want_a_backup(saga: Saga) -> None:
    saga.args["kind"] = Kind.FULL.value


async def is_backed_up(saga: Saga) -> None:
    """Once, as the store and we know it; and it goes on by itself."""
    await serves(saga)
    subject = await saga.subject()
    engine = subject.engine
    assert isinstance(engine, BacksUp)
    there = await engine.backups(subject.services.channel, await subject.cluster())
    async with subject.services.sessions() as tx:
        known, _ = await backups.of(tx, saga.datastore_id)
    assert [one.label for one in known] == [one.id for one in there]
    assert len(known) == 1


async def serves_without_a_backup_that_is_not_whole(saga: Saga) -> None:
    """It failed after the store had it, or before: what is listed is there."""
    await serves(saga)
    async with saga.installation.services.sessions() as tx:
        known, _ = await backups.of(tx, saga.datastore_id)
        datastore = await datastores.get(tx, saga.datastore_id)
    assert len(known) <= 1
    assert datastore.backup_failed is not None or known


async def have_a_backup_of_another(saga: Saga) -> None:
    """A datastore of its own, backed up: what this one is made from."""
    source = await new_saga(saga.installation, 1)
    key, services = str(source.datastore_id), saga.installation.services
    for kind, args in (("create_datastore", {}), ("backup_datastore", {"kind": Kind.FULL.value})):
        async with services.sessions.begin() as tx:
            job_id = await jobs.enqueue(tx, kind, key=key, args={"datastore_id": key, **args})
        await eventually(lambda job_id=job_id: _is_over(saga, job_id), within=60)
    async with services.sessions.begin() as tx:
        ((backup,), _), made_from = await backups.of(tx, source.datastore_id), await datastores.get(tx, UUID(key))
        (await datastores.get(tx, saga.datastore_id)).origin = {
            "datastore": key, "backup": backup.label, "to": repositories.AT_ONCE,
            "path": branches.path(made_from, backup.branch, backup.branch),
        }  # fmt: skip
    saga.notes |= {"source": source.datastore_id, "backup": backup.label}


async def _is_over(saga: Saga, job_id: UUID) -> bool:
    async with saga.installation.services.sessions() as tx:
        job = await jobs.get(tx, job_id)
    assert job is None or job.error is None, job
    return job is not None and job.status.is_final


async def want_a_copy(saga: Saga) -> None:
    await have_a_backup_of_another(saga)
    saga.args["label"] = "JOB_TYPE_BACKUP"


async def is_a_copy(saga: Saga) -> None:
    await serves(saga)
    assert await _origins_keys(saga) == {}


async def is_no_copy(saga: Saga) -> None:
    await never_was(saga)
    assert await _origins_keys(saga) == {}


async def _origins_keys(saga: Saga) -> dict[str, str]:
    services = saga.installation.services
    async with services.sessions() as tx:
        return await services.vault.get_all(tx, repositories.origin_scope(saga.datastore_id))


async def want_a_drill(saga: Saga) -> None:
    await have_a_backup_of_another(saga)
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        datastore.desired, datastore.status = Desired.ABSENT, Status.DELETED


async def is_proved(saga: Saga) -> None:
    await _is_drilled(saga, proved=True)


async def is_not_proved(saga: Saga) -> None:
    await _is_drilled(saga, proved=False)


async def _is_drilled(saga: Saga, *, proved: bool) -> None:
    await gone(saga, Status.DELETED)
    assert await _origins_keys(saga) == {}
    async with saga.installation.services.sessions() as tx:
        known, _ = await backups.of(tx, saga.notes["source"])
    (backup,) = [one for one in known if one.label == saga.notes["backup"]]  # another may be made by schedule
    assert backup.drill is not None
    assert backup.drill["proved"] is proved


CASES = {
    case.kind: case
    for case in (
        Case(
            "backup_datastore",
            2,
            True,
            want_a_backup,
            is_backed_up,
            serves_without_a_backup_that_is_not_whole,
            slow=True,
        ),
        Case("restore_datastore", 1, False, want_a_copy, is_a_copy, is_no_copy, slow=True),
        Case("drill_datastore", 1, False, want_a_drill, is_proved, is_not_proved, slow=True),
        Case("create_datastore", 2, False, nothing, serves, never_was),
        Case("delete_datastore", 2, True, want_gone, is_deleted, None),
        Case("probe_network", 1, False, never_be, was_probed, is_deleted),
        Case("replace_node", 3, True, lose_primary, is_replaced, is_not_replaced),
        Case("restore_in_place", 2, True, want_another_time, is_restored, is_as_before, slow=True),
        Case("undo_restore", 2, True, restore, is_as_before, is_restored, slow=True),
        Case("confirm_restore", 1, True, restore, is_confirmed, is_restored, slow=True),
        Case("rotate_certificates", 1, True, know_certificates, has_new_certificates, serves),
    )
}
