"""Locking backups in the object store: until their time nobody can delete them, the control plane not either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.db import utc_now
from ccx.jobs import Step, TransactionBody
from ccx.runner import branches, repositories
from ccx.runner.services import Services
from ccx.runner.steps.servers import Action
from ccx.runner.subject import Subject
from ccx.storage.base import ObjectStore
from ccx.storage.opened import open_store
from ccx.stores import backups as stored
from ccx.stores.models import Backup

_SPARE = timedelta(days=1)
"""Locked longer than asked for, so that what incremental backups build on is locked anew once a day and no more."""
_INFO = ("archive.info", "backup.info")


@dataclass(frozen=True)
class Wanted:
    """What is to be locked now."""

    labels: tuple[str, ...]
    log_since: datetime
    """Parts of the log that came into the store since then."""
    until: datetime


def plan(made: str, known: Sequence[Backup], now: datetime, days: int) -> Wanted:
    """After the backup ``made``, which is among ``known``. What a locked one builds on is locked as long. Pure."""
    by_label = {one.label: one for one in known}
    chain: list[Backup] = []
    following: str | None = made
    while following is not None and following in by_label:
        chain.append(by_label[following])
        following = chain[-1].parent
    needed = now + timedelta(days=days)
    held = [one.locked_until for one in chain[1:]]
    ends = [end for end in held if end is not None and end >= needed]
    if chain[1:] and len(ends) == len(held):
        return Wanted((made,), chain[1].started_at, min(ends))
    since = chain[-1].started_at
    if not chain[1:]:  # the log behind the one before it, too: by that, and no other, times until now are reached
        earlier = (one.started_at for one in known if one.branch == chain[0].branch and one.started_at < since)
        since = max(earlier, default=since)
    return Wanted(tuple(one.label for one in chain), since, needed + _SPARE)


async def lock_objects(store: ObjectStore, prefix: str, archive: str, wanted: Wanted) -> int:
    """Locks what ``wanted`` names below the prefix; returns how many objects that were."""
    log = await store.list(f"{prefix}archive/{archive}/")
    keys = [one.key for one in log if one.modified >= wanted.log_since or one.key.rsplit("/", 1)[-1].startswith(_INFO)]
    found = await store.list(f"{prefix}backup/{archive}/")
    heads = tuple(f"{prefix}backup/{archive}/{label}/" for label in wanted.labels)
    keys += [one.key for one in found if one.key.startswith(heads) or one.key.rsplit("/", 1)[-1].startswith(_INFO)]
    await store.lock(keys, wanted.until)
    return len(keys)


def lock(services: Services, datastore_id: str, made: str) -> Action:
    """Locks the backup and all that it needs, where the settings ask for it; then what deletions left is removed.

    Fails in a bucket that has no object lock: the settings promise what it can't keep.
    """

    async def action(step: Step) -> dict[str, Any] | None:
        datastore = (await Subject.load(services, datastore_id)).datastore
        cloud = services.settings.cloud(datastore.cloud)
        if cloud is None or not cloud.s3_lock_days:
            return None
        async with services.sessions() as tx:
            known, _ = await stored.of(tx, datastore.id)
        wanted = plan(made, known, utc_now(), cloud.s3_lock_days)
        archive = branches.archive_name(datastore.short_id, datastore.branch)
        store = open_store(cloud, services.settings)
        try:
            await lock_objects(store, repositories.prefix(datastore), archive, wanted)
            if len(wanted.labels) > 1 or known[0].parent is None:  # once a day or so
                old = utc_now() - timedelta(days=cloud.s3_lock_days) - _SPARE
                await store.drop_old_versions(repositories.prefix(datastore), old)
        finally:
            await store.close()
        return {"labels": wanted.labels, "until": wanted.until.isoformat()}

    return action


def record(datastore_id: str, locked: dict[str, Any] | None) -> TransactionBody:
    async def action(tx: AsyncSession) -> None:
        if locked is not None:
            until = datetime.fromisoformat(locked["until"])
            await stored.locked(tx, UUID(datastore_id), locked["labels"], until)

    return action
