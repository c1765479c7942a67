"""Restores a datastore in place: under the same names, beside what serves, which is kept until that is confirmed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.jobs import Job, Lane, operation
from ccx.runner import branches
from ccx.runner.create_datastore import certify, machine, set_up
from ccx.runner.restore_datastore import FORM
from ccx.runner.services import Services
from ccx.runner.steps import backups, cluster, in_place, restores, servers, takeover
from ccx.runner.subject import Subject
from ccx.stores import datastores
from ccx.stores.models import Node


@operation("restore_in_place", deadline=timedelta(hours=24), lane=Lane.BOTH, on_failed=takeover.give_up)
async def restore_in_place(job: Job, datastore_id: str, branch: int, label: str) -> None:
    """``branch``: the one to begin, as ``datastore.restoring`` says. A backup follows, called ``label`` in the API.

    The datastore's firewall, keys, users' names and CA are what they are; only its nodes are others in the end.
    """
    services: Services = job.services
    before = await job.transaction("before", takeover.members(datastore_id))
    old, served = [UUID(m) for m in before["members"]], before["served"]
    await job.step("end of the log", restores.mark_own(services, datastore_id), timeout=150)
    reserved = await job.transaction(
        "reserve",
        in_place.reserve_branch(services, datastore_id, branch),
        undo=in_place.release_branch(services, datastore_id, branch),
    )
    members = [UUID(m) for m in reserved]
    subject = await Subject.load(services, datastore_id)
    new = [subject.node(m) for m in members]

    view = await _make(job, subject, branch, new)
    await hand_over(job, subject, old, served=served, state=branches.PREPARING)
    await job.transaction(
        "serve",
        takeover.take_over(datastore_id, branch, members),
        undo=takeover.give_back(datastore_id, old),
    )
    await job.step("look", in_place.still_serves(services, datastore_id))
    await job.pivot("names", cluster.publish_names(services, datastore_id, members))
    kept_for = timedelta(days=services.settings.restore_keep_days)
    await job.transaction("serves", takeover.serves(datastore_id, view, "restored", kept_for))
    await job.transaction("back up", backups.order_full(datastore_id, label))


async def _make(job: Job, subject: Subject, branch: int, new: list[Node]) -> dict[str, object]:
    """The branch's cluster, whole, its log in the store; who serves does not notice. Its result is the view of it."""
    services, datastore_id = subject.services, str(subject.datastore.id)
    members = [node.id for node in new]
    await job.gather(*(machine(job, subject, node) for node in new))
    await job.nap_until(
        "boot",
        servers.phoned_home(services, members),
        every=timedelta(seconds=0.25),
        within=servers.booted_within(services),
    )
    await job.transaction("certificates", certify(services, datastore_id, members))
    await job.gather(*(set_up(job, subject, members, node) for node in new))
    await job.step("start", cluster.start(services, datastore_id, members), timeout=120)
    await job.step("restore", in_place.follow(services, datastore_id, members), timeout=900, retry_for=600)
    view: dict[str, object] = await job.nap_until(
        "form", cluster.made(services, datastore_id, members), every=timedelta(seconds=0.25), within=FORM
    )
    await job.step("users", cluster.finish(services, datastore_id, members))
    first = await job.step(
        "archive",
        in_place.archive(services, datastore_id, members),
        undo=in_place.forget_log(services, datastore_id, branch),
        timeout=240,
    )

    async def began(tx: AsyncSession) -> None:
        branches.began(await datastores.get(tx, subject.datastore.id), branch, first)

    await job.transaction("branch", began)
    for node in new:
        await job.step(f"forget {node.label}", in_place.forget_origin(services, datastore_id, members, node.id))
    return view


async def hand_over(job: Job, subject: Subject, former: list[UUID], *, served: bool, state: str) -> None:
    """Takes the ``former`` members out of service, for others to take their place. Undone, they serve again.

    ``served``: whether they do now. ``state``: of the restore in place, before.
    """
    services, datastore_id = subject.services, str(subject.datastore.id)
    await job.transaction("switching", takeover.switching(datastore_id), undo=takeover.back_to(datastore_id, state))
    # Its undo is that of all that follows, which must be over before they can serve.
    back = in_place.bring_back(services, datastore_id, former, served=served)
    await job.step("hand over", in_place.nothing, undo=back)
    await job.step("stop", in_place.stop(services, datastore_id, former), timeout=in_place.STOPPED_WITHIN_S + 30)
    await job.gather(
        *(
            job.step(f"off {subject.node(m).label}", in_place.power_off(services, datastore_id, m), retry_for=300)
            for m in former
        )
    )
