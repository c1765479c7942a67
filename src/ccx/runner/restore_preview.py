"""What a restore would find in the store."""

from __future__ import annotations

from ccx.errors import Invalid
from ccx.runner import repositories
from ccx.runner.branches import archive_name
from ccx.runner.services import Services
from ccx.runner.steps.backups import engine_of
from ccx.runner.subject import Subject
from ccx.runner.targets import Plan
from ccx.storage.opened import open_store
from ccx.stores.models import Datastore

_PATIENCE_S = 5


async def check_there(services: Services, datastore: Datastore, plan: Plan) -> None:
    """Raises Invalid where the store lacks the backup, and what the store says where it can't be asked."""
    name, label = archive_name(datastore.short_id, plan.backup.branch), plan.backup.label
    store = open_store(repositories.cloud_of(services, datastore), services.settings, patience=_PATIENCE_S)
    try:
        last = engine_of(Subject(services, datastore)).written_last
        manifest = f"{repositories.prefix(datastore)}backup/{name}/{label}/{last}"
        if not any(one.key == manifest for one in await store.list(manifest)):
            raise Invalid(
                f"the object store no longer has the backup {label}: {manifest} is missing",
                field="backup_id",
                remedy="Have the others checked: ccx backup verify; or restore to a time that another one covers",
            )
    finally:
        await store.close()
