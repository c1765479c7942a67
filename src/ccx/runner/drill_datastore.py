"""Proves a datastore's newest backup: restores it into a throw-away node, has it checked, and removes that again.

The node belongs to a datastore that never is, as a probe's does: nobody sees, counts or watches it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.cmon.backup import Proves
from ccx.db import utc_now
from ccx.errors import CcxError
from ccx.jobs import Job, JobRecord, Step, operation
from ccx.runner import drills
from ccx.runner.create_datastore import certify, machine, release_all, reserve_all, set_up
from ccx.runner.services import Services
from ccx.runner.steps import cluster, network, restores, servers
from ccx.runner.steps.backups import engine_of
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.stores import backups, datastores

_CHECKED_WITHIN_S = 6 * 3600


async def failed(tx: AsyncSession, job: JobRecord, error: dict[str, Any] | None) -> None:
    """The backup is not proved, and why."""
    why = (error or {}).get("err", "the drill was cancelled")
    await _record(tx, job.args["datastore_id"], {"proved": False, "err": why})


@operation("drill_datastore", deadline=timedelta(hours=24), on_failed=failed)
async def drill_datastore(job: Job, datastore_id: str) -> None:
    """``datastore_id``: the throw-away one, whose origin says what is to be proved."""
    services: Services = job.services
    begun = await job.transaction("begin", _now)
    reserved = await job.transaction(
        "reserve", reserve_all(services, datastore_id), undo=release_all(services, datastore_id)
    )
    node_id = UUID(reserved[0])
    subject = await Subject.load(services, datastore_id)
    node = subject.node(node_id)

    await job.step("keys", restores.grant(services, datastore_id), undo=restores.revoke(services, datastore_id))
    await job.step("firewall", network.put_firewall(subject, clients=False), undo=network.delete_firewall(subject))
    await machine(job, subject, node)
    await job.nap_until(
        "boot",
        servers.phoned_home(services, [node_id]),
        every=timedelta(seconds=0.25),
        within=servers.booted_within(services),
    )
    await job.transaction("certificates", certify(services, datastore_id, [node_id]))
    await set_up(job, subject, [node_id], node)
    await job.step("start", cluster.start(services, datastore_id, [node_id]), timeout=120)
    await job.step("restore", restores.follow(services, datastore_id), timeout=900, retry_for=600)
    ready = await job.transaction("restored", _now)
    found = await job.step("check", _check(services, datastore_id), timeout=_CHECKED_WITHIN_S)
    counted = await job.step("count", _count(services, datastore_id), timeout=_CHECKED_WITHIN_S)

    async def proved(tx: AsyncSession) -> None:
        took = datetime.fromisoformat(ready) - datetime.fromisoformat(begun)
        await _record(tx, datastore_id, {"proved": True, "seconds": round(took.total_seconds(), 1), **found, **counted})

    await job.transaction("record", proved)
    # What was asked for is known: from here on, all that is left to do is to tidy up, however long that takes.
    await job.pivot("remove server", servers.delete_server(subject, node))
    await job.step("remove volume", servers.delete_volume(subject, node))
    await job.step("remove firewall", network.delete_firewall(subject))
    await job.step("end of keys", restores.revoke(services, datastore_id))
    await job.transaction("forget", release_all(services, datastore_id))


async def _now(_tx: AsyncSession) -> str:
    return utc_now().isoformat()


def _check(services: Services, datastore_id: str) -> Action:
    """Opened, counted, and read through by the engine's own check. Fails with what is wrong."""

    async def action(step: Step) -> dict[str, Any]:
        subject = await Subject.load(services, datastore_id)
        return await engine_of(subject).verify(services.channel, await restores.made(subject), step.token)

    return action


def _count(services: Services, datastore_id: str) -> Action:
    """Compares rows with those when the backup was made. Fails, naming tables, where they are others."""

    async def action(step: Step) -> dict[str, Any]:
        subject = await Subject.load(services, datastore_id)
        origin, engine = subject.datastore.origin, subject.engine
        assert origin is not None
        async with services.sessions() as tx:
            known, _ = await backups.of(tx, UUID(origin["datastore"]))
        counts = next((one.counts for one in known if one.label == origin["backup"]), None)
        if counts is None or counts["point"] != origin.get("point") or not isinstance(engine, Proves):
            return {"counted": 0}
        restored = await engine.recount(services.channel, await restores.made(subject), list(counts["rows"]))
        if wrong := drills.compare(counts, restored):
            raise CcxError(
                f"what was restored is not what was backed up: {'; '.join(wrong)}",
                remedy="Drill again; if it stays so, back up in full, and look into the database's own log",
            )
        return {"counted": len(counts["rows"]), "rows": sum(restored.values()), "exact": counts["exact"]}

    return action


async def _record(tx: AsyncSession, datastore_id: str, outcome: dict[str, Any]) -> None:
    origin = (await datastores.get(tx, UUID(datastore_id))).origin
    assert origin is not None
    told = {"at": utc_now().isoformat(), **outcome}
    await backups.drilled(tx, UUID(origin["datastore"]), origin["backup"], told)
