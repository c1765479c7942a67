"""Backups: made, read through, and removed: those of a former branch, and all of a datastore that is gone."""

from __future__ import annotations

from tests.integration.saga.cases.in_place import restore
from tests.integration.saga.cases.saga import Case, Saga, serves, want_gone

import ccx.runner.backup_datastore
import ccx.runner.remove_backups
import ccx.runner.verify_backups  # noqa: F401 - registers its operation, as the others do
from ccx import jobs
from ccx.cmon.backup import BacksUp, Kind
from ccx.db import utc_now
from ccx.runner import branches, repositories
from ccx.storage.opened import open_store
from ccx.storage.s3 import S3
from ccx.stores import backups, datastores
from ccx.stores.models import Backup, Status

LOST = "bundle/1 is missing"


async def known(saga: Saga) -> list[Backup]:
    """Its backups in the stores, newest first."""
    async with saga.installation.services.sessions() as tx:
        found, _ = await backups.of(tx, saga.datastore_id)
    return found


async def want_a_backup(saga: Saga) -> None:
    saga.args["kind"] = Kind.FULL.value


async def is_backed_up(saga: Saga) -> None:
    """Once, as the store and we know it; and it goes on by itself."""
    await serves(saga)
    subject = await saga.subject()
    engine = subject.engine
    assert isinstance(engine, BacksUp)
    there = await engine.backups(subject.services.channel, await subject.cluster())
    listed = await known(saga)
    assert [one.label for one in listed] == [one.id for one in there]
    assert len(listed) == 1


async def has_no_backup_that_is_not_whole(saga: Saga) -> None:
    """It failed after the store had it, or before: what is listed is there."""
    await serves(saga)
    listed = await known(saga)
    assert len(listed) <= 1
    assert (await saga.datastore()).backup_failed is not None or listed


# Read through: the older one of two can't be restored any more, and so neither can the one that builds on it.


async def damage_one(saga: Saga) -> None:
    await saga.done("backup_datastore", kind=Kind.FULL.value)
    await saga.done("backup_datastore", kind=Kind.INCREMENTAL.value)
    newest, oldest = await known(saga)
    assert (newest.parent, newest.unusable, oldest.unusable) == (oldest.label, None, None)
    subject = await saga.subject()
    view = await subject.engine.observe(await subject.cluster())
    assert view.primary is not None
    primary = (await subject.cluster()).node(view.primary.label)
    entry = {"parent": None, "kind": Kind.FULL.value, "at": oldest.ended_at.isoformat(), "damaged": LOST}
    await subject.services.channel.call(
        primary, "backup-put", {"kind": "backups", "name": oldest.label, "value": entry}
    )
    saga.notes |= {"labels": [newest.label, oldest.label], "verified": [newest.verified_at, oldest.verified_at]}


async def is_known_to_be_damaged(saga: Saga) -> None:
    """Both are marked with the reason, and a new full backup is to come."""
    await serves(saga)
    newest, oldest = await known(saga)
    assert [newest.label, oldest.label] == saga.notes["labels"]
    assert (oldest.unusable, newest.unusable) == (LOST, f"it builds on {oldest.label}: {LOST}")
    assert [newest.verified_at, oldest.verified_at] != saga.notes["verified"]
    assert [job.args["kind"] for job in await _waiting(saga)] == [Kind.FULL.value]


async def is_not_known_to_be_damaged(saga: Saga) -> None:
    """It broke off: nothing is said that was not read, and nothing is made for it."""
    await serves(saga)
    listed = await known(saga)
    assert [one.label for one in listed] == saga.notes["labels"]
    assert [one.unusable for one in listed] == [None, None]
    assert [one.verified_at for one in listed] == saga.notes["verified"]
    assert await _waiting(saga) == []


async def _waiting(saga: Saga) -> list[jobs.JobRecord]:
    """Jobs of the datastore that have not begun."""
    async with saga.installation.services.sessions() as tx:
        found, _ = await jobs.history(tx, str(saga.datastore_id))
    return [job for job in found if job.status is jobs.JobStatus.QUEUED]


# What is in the store. The simulated database keeps nothing there, so what stands for it is put there.


def _store(saga: Saga) -> S3:
    settings = saga.installation.services.settings
    return open_store(settings.clouds[0], settings, patience=5)


async def put_in_store(saga: Saga, branch: int) -> None:
    """A backup and a part of the log, under that branch's names."""
    store, prefix = _store(saga), repositories.prefix(await saga.datastore())
    name = branches.archive_name(saga.short_id, branch)
    try:
        for key in (f"backup/{name}/1F/manifest", f"backup/{name}/1F/bundle/1", f"archive/{name}/17-1/0000/0001.zst"):
            await store.put(prefix + key, b"something")
    finally:
        await store.close()


async def in_store(saga: Saga) -> set[str]:
    """``backup/…`` and ``archive/…`` of which the store has anything."""
    store, prefix = _store(saga), repositories.prefix(await saga.datastore())
    try:
        found = await store.list(prefix)
    finally:
        await store.close()
    return {"/".join(one.key.removeprefix(prefix).split("/")[:2]) for one in found}


def _names(saga: Saga, branch: int) -> set[str]:
    name = branches.archive_name(saga.short_id, branch)
    return {f"backup/{name}", f"archive/{name}"}


# The end of a former branch, with the first full backup for which nothing that is kept needs it.


async def have_a_former_branch(saga: Saga) -> None:
    """Backed up, restored in place, backed up by that, and confirmed; from now on only the newest backup is kept."""
    await saga.done("backup_datastore", kind=Kind.FULL.value)
    await restore(saga)
    await saga.idle()
    await saga.done("confirm_restore")
    for branch in (0, 1):
        await put_in_store(saga, branch)
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        datastore.backup_policy = {**(datastore.backup_policy or {}), "keep_days": 0, "keep_full": 1}
    assert {one.branch for one in await known(saga)} == {0, 1}
    saga.args["kind"] = Kind.FULL.value


async def has_no_former_branch(saga: Saga) -> None:
    await serves(saga)
    assert [one.branch for one in await known(saga)] == [1]
    assert await in_store(saga) == _names(saga, 1)


async def has_all_that_it_lists(saga: Saga) -> None:
    """It broke off: the former branch can be restored and is there, or is listed no more. The other one is whole."""
    await serves(saga)
    listed, there = await known(saga), await in_store(saga)
    assert {one.branch for one in listed} in ({0, 1}, {1})
    for branch in {one.branch for one in listed}:
        assert _names(saga, branch) <= there


# The end of all, when a deleted datastore's backups have been kept for long enough.


async def be_gone_for_long(saga: Saga) -> None:
    await saga.done("backup_datastore", kind=Kind.FULL.value)
    await put_in_store(saga, 0)
    await want_gone(saga)
    await saga.done("delete_datastore")
    async with saga.installation.services.sessions.begin() as tx:
        datastore = await datastores.get(tx, saga.datastore_id)
        assert datastore.backups_until is not None
        datastore.backups_until = utc_now()
    assert await known(saga)


async def has_no_backups(saga: Saga) -> None:
    """Nor keys or a cipher for any."""
    datastore = await saga.datastore()
    assert datastore.status is Status.DELETED
    assert (await known(saga), await in_store(saga), datastore.backups_until) == ([], set(), None)
    assert await kept_secrets(saga) == {}


async def still_has_its_backups(saga: Saga) -> None:
    datastore = await saga.datastore()
    assert [one.branch for one in await known(saga)] == [0]
    assert await in_store(saga) == _names(saga, 0)
    assert datastore.backups_until is not None
    assert "cipher" in await kept_secrets(saga)


async def kept_secrets(saga: Saga) -> dict[str, str]:
    """Of its backups: the cipher, and keys while it has any."""
    services = saga.installation.services
    async with services.sessions() as tx:
        return await services.vault.get_all(tx, repositories.scope(saga.datastore_id))


CASES = (
    Case("backup_datastore", 2, True, want_a_backup, is_backed_up, has_no_backup_that_is_not_whole, slow=True),
    Case(
        "backup_datastore", 1, True, have_a_former_branch, has_no_former_branch, has_all_that_it_lists, slow=True,
        what="former",
    ),
    Case("verify_backups", 1, True, damage_one, is_known_to_be_damaged, is_not_known_to_be_damaged, slow=True),
    Case("remove_backups", 1, True, be_gone_for_long, has_no_backups, still_has_its_backups, slow=True),
)  # fmt: skip
