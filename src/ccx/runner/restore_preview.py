"""What a restore would find in the store: is the backup there, and which part of the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from ccx.errors import Invalid
from ccx.runner import repositories
from ccx.runner.branches import archive_name
from ccx.runner.services import Services
from ccx.runner.targets import Plan
from ccx.storage import ObjectStore
from ccx.storage.opened import open_store
from ccx.stores.models import Datastore

_PATIENCE_S = 5
_SEGMENT = re.compile(r"/([0-9A-F]{24})-[0-9a-f]{40}")


@dataclass(frozen=True)
class Log:
    """The part that is replayed, as far as the store has it now."""

    last: str | None
    """Its last segment."""
    segments: int
    stored: int
    """Bytes of it in the store."""


async def check_there(services: Services, datastore: Datastore, plan: Plan) -> None:
    """Raises Invalid where the store lacks the backup, and what the store says where it can't be asked."""
    name, label = archive_name(datastore.short_id, plan.backup.branch), plan.backup.label
    store = _open(services, datastore)
    try:
        manifest = f"{repositories.prefix(datastore)}backup/{name}/{label}/backup.manifest"
        if not any(one.key == manifest for one in await store.list(manifest)):
            raise Invalid(
                f"the object store no longer has the backup {label}: {manifest} is missing",
                field="backup_id",
                remedy="Have the others checked: ccx backup verify; or restore to a time that another one covers",
            )
    finally:
        await store.close()


async def log(services: Services, datastore: Datastore, plan: Plan) -> Log:
    """From the backup's first segment up to the one that came into the store when the moment was over."""
    until: datetime | None = plan.until if plan.origin["to"] != repositories.LATEST else None
    store, found = _open(services, datastore), []
    try:
        for name in plan.names:
            for one in await store.list(f"{repositories.prefix(datastore)}archive/{name}/"):
                segment = _SEGMENT.search(one.key)
                if segment and segment[1][8:] >= (plan.backup.wal_first or "")[8:]:
                    found.append((one.modified, segment[1], one.size))
    finally:
        await store.close()
    found.sort()
    if plan.origin["to"] == repositories.AT_ONCE:
        needed = [one for one in found if one[1][8:] <= (plan.backup.wal_last or "")[8:]]
    else:
        behind = next((i for i, one in enumerate(found) if until is not None and one[0] >= until), len(found) - 1)
        needed = found[: behind + 1]
    return Log(needed[-1][1] if needed else None, len(needed), sum(size for _, _, size in needed))


def _open(services: Services, datastore: Datastore) -> ObjectStore:
    cloud = services.settings.cloud(datastore.cloud)
    if cloud is None:
        raise Invalid(f"the cloud {datastore.cloud} is no longer there", remedy="Put it back into the settings")
    return open_store(cloud, services.settings, patience=_PATIENCE_S)
