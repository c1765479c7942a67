"""A new datastore out of another one's backups: the way to them, and what happens on the nodes."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import structlog

from ccx.cmon.node_channel import NodeUnreachable, Progress
from ccx.cmon.spec import ClusterSpec
from ccx.errors import Conflict, Transient
from ccx.jobs import Step
from ccx.runner import repositories, windows
from ccx.runner.services import Services
from ccx.runner.steps import servers
from ccx.runner.steps.backups import engine_of
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.opened import has_store, open_access
from ccx.stores import backups
from ccx.stores.models import Node, NodeStatus, Status

_MARKED_WITHIN_S, _LAST_WITHIN_S = 90, 15
_FAILS_OVER_WITHIN_S = 30
"""For which a datastore without a primary is waited for: what the next one has shall be restored too."""
_LOOK_EVERY_S = 1.0
_COPIES = "copying the backup"
"""What engines call the part of a restore whose length is known."""

log = structlog.get_logger()


def mark(services: Services, datastore_id: str) -> Action:
    """Has the other datastore, if it is there, archive its log up to now. If it can't, what is in the store is all.

    Raises Conflict for a time that is not in the store then: what ends before it would pass for what was there.
    """

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        await _mark_up_to_now(await _source(subject), subject.datastore.origin, step)

    return action


def mark_own(services: Services, datastore_id: str) -> Action:
    """The same of the datastore itself, before it is restored in place."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        await _mark_up_to_now(subject, subject.datastore.restoring, step)

    return action


def last_mark(subject: Subject) -> Action:
    """Before the datastore goes: what was committed last shall be in its backups, if that takes but a moment."""

    async def action(step: Step) -> None:
        await _mark(subject, _LAST_WITHIN_S, step)

    return action


async def _mark_up_to_now(subject: Subject, plan: dict[str, Any] | None, step: Step) -> None:
    if subject.datastore.status not in (Status.STARTED, Status.DEGRADED, Status.FAILURE, Status.UNKNOWN):
        return
    marked = await _mark(subject, _MARKED_WITHIN_S, step, fails_over_within=_FAILS_OVER_WITHIN_S)
    to = repositories.time_of(plan or {})
    if marked or to is None:
        return
    there = await windows.archived(subject.services, subject.datastore)
    if to > there:
        has = f"only what was written until {there:%Y-%m-%d %H:%M:%S} UTC is" if there.year > 1 else "nothing of it is"
        raise Conflict(
            f"the log up to {to:%Y-%m-%d %H:%M:%S} UTC is not in the object store, {has}; its end can't be stored now",
            field="pitr_stop_time",
            remedy="Try again when its status names no reason any more; or restore to an earlier time, or without one",
        )


async def _mark(subject: Subject, within: float, step: Step, fails_over_within: float = 0) -> bool:
    """Whether all that was committed is in the store."""
    services, clock = subject.services, asyncio.get_running_loop().time
    until = clock() + fails_over_within
    try:
        async with asyncio.timeout(within):
            async with services.sessions() as tx:
                if await repositories.repository(tx, services, subject.datastore) is None:
                    return False
            while True:
                try:
                    await engine_of(subject).archive_now(services.channel, await subject.cluster(), step.token)
                    return True
                except Transient:
                    if clock() > until:
                        raise
                await asyncio.sleep(_LOOK_EVERY_S)
    except Exception as error:  # whatever it is, a datastore can be deleted, and restored as far as the store has it
        reason = str(error) or type(error).__name__
        log.warning("the log's end is not archived", datastore=subject.datastore.short_id, reason=reason)
        await step.progress(0, note="not stored: what is in the store is all that can be restored")
        return False


def grant(services: Services, datastore_id: str) -> Action:
    """Keys that read the other one's backups, and only that, for as long as this takes."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        source = await _source(subject)
        name = repositories.origin_user(services, subject.datastore)
        async with open_access(repositories.cloud_of(services, source.datastore), services.settings) as access:
            keys = await access.grant(name, repositories.prefix(source.datastore), read_only=True)
        own = repositories.origin_scope(subject.datastore.id)
        async with services.sessions.begin() as tx:
            await services.vault.put(tx, own, "secret_key", keys.secret_key)
            await services.vault.put(tx, own, "access_key", keys.access_key)

    return action


def revoke(services: Services, datastore_id: str) -> Action:
    """Undo of :func:`grant`. Succeeds where there are none."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        cloud = repositories.cloud_of(services, (await _source(subject)).datastore)
        if has_store(cloud):  # one that is gone for good was taken out of the settings
            async with open_access(cloud, services.settings) as access:
                await access.revoke(repositories.origin_user(services, subject.datastore))
        async with services.sessions.begin() as tx:
            await services.vault.forget(tx, repositories.origin_scope(subject.datastore.id))

    return action


def follow(services: Services, datastore_id: str) -> Action:
    """Waits until the data is there; its progress is the step's. Fails with the reason when it never will be."""

    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        size = await _size(subject)

        async def report(progress: dict[str, Any]) -> None:
            # While it copies; what of the log is replayed afterwards, nobody can tell before.
            total = size if progress["note"] == _COPIES else None
            await step.progress(progress["done"], total, progress["unit"], progress["note"])

        await follow_on(subject, _made(subject), report)

    return action


async def follow_on(subject: Subject, members: list[Node], report: Progress) -> None:
    """Follows a restore on these nodes; raises at once when a machine that does not answer is gone."""
    try:
        await engine_of(subject).follow_restore(subject.services.channel, await subject.cluster(members), report)
    except NodeUnreachable:
        await servers.check_running(subject, members)
        raise


async def _size(subject: Subject) -> int | None:
    """Bytes of the database when it was backed up."""
    origin = subject.datastore.origin
    assert origin is not None
    async with subject.services.sessions() as tx:
        known, _ = await backups.of(tx, UUID(origin["datastore"]))
    return next((one.size for one in known if one.label == origin["backup"]), None)


def forget(services: Services, datastore_id: str, node_id: UUID) -> Action:
    async def action(step: Step) -> None:
        subject = await Subject.load(services, datastore_id)
        label = subject.node(node_id).label
        await engine_of(subject).forget_origin(services.channel, await made(subject), label, step.token)

    return action


async def made(subject: Subject) -> ClusterSpec:
    """The cluster while it is made: its nodes are no members yet."""
    return await subject.cluster(_made(subject))


def _made(subject: Subject) -> list[Node]:
    return [n for n in subject.datastore.nodes if n.status is not NodeStatus.RETIRED]


async def _source(subject: Subject) -> Subject:
    assert subject.datastore.origin is not None
    return await Subject.load(subject.services, subject.datastore.origin["datastore"])
