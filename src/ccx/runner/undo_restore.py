"""Takes a restore in place back: the datastore is what it was when that took over, and what was restored is removed."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.errors import Conflict
from ccx.jobs import Job, Lane, operation
from ccx.runner import branches
from ccx.runner.delete_datastore import remove_machine
from ccx.runner.restore_in_place import hand_over
from ccx.runner.services import Services
from ccx.runner.steps import cluster, in_place, takeover
from ccx.runner.subject import Subject
from ccx.stores import datastores


@operation("undo_restore", deadline=timedelta(hours=1), lane=Lane.BOTH)
async def undo_restore(job: Job, datastore_id: str) -> None:
    """What was written since the restore goes with it, but for what is in the store: that can still be restored."""
    services: Services = job.services
    before = await job.transaction("before", takeover.members(datastore_id))
    restored, kept = [UUID(m) for m in before["members"]], [UUID(m) for m in before["kept"]]
    if not kept:  # it was confirmed while this waited for its turn
        raise Conflict("nothing is kept of before a restore in place", remedy="There is nothing to do")
    subject = await Subject.load(services, datastore_id)

    await job.step("there", in_place.some_are_there(services, datastore_id, kept))
    await hand_over(job, subject, restored, served=before["served"], state=branches.KEPT)
    await job.gather(
        *(
            job.step(
                f"on {subject.node(m).label}",
                in_place.power_on(services, datastore_id, m),
                undo=in_place.power_off(services, datastore_id, m),
            )
            for m in kept
        )
    )
    view = await job.step("serving", in_place.serve_again(services, datastore_id, kept), timeout=300, retry_for=900)
    await job.transaction("serve", takeover.return_to(datastore_id, kept), undo=takeover.stay(datastore_id, restored))
    await job.step("look", in_place.still_serves(services, datastore_id))
    await job.pivot("names", cluster.publish_names(services, datastore_id, kept))
    await job.transaction("serves", takeover.serves(datastore_id, view, "restore-undone"))
    await job.gather(*(remove_machine(job, subject, subject.node(m)) for m in restored))
    await job.transaction("forget", in_place.release_branch(services, datastore_id, before["branch"]))
    await job.transaction("settled", takeover.settled(datastore_id))

    async def catch_up(tx: AsyncSession) -> None:
        """What was changed while these nodes were off."""
        datastore = await datastores.get(tx, UUID(datastore_id))
        owner = (datastore.owner_type, datastore.owner_id)
        args = {"datastore_id": datastore_id}
        await jobs.enqueue(
            tx, "apply_egress", key=datastore_id, args=args, owner=owner, label="JOB_TYPE_APPLY_EGRESS", dedup=True
        )

    await job.transaction("catch up", catch_up)
