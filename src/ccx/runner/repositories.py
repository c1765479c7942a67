"""Where a datastore's backups go: its prefix in the cloud's object store, with keys and a cipher of its own."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.cmon.backup import Repository
from ccx.runner.services import Services
from ccx.secrets import new_password
from ccx.storage import Credentials, location_of
from ccx.storage.opened import has_store
from ccx.stores.models import Datastore

_CIPHER_LENGTH = 48


def scope(datastore_id: UUID) -> str:
    """Where the vault keeps it. Not with the datastore's other secrets: backups outlive their datastore."""
    return f"backups:{datastore_id}"


def prefix(datastore: Datastore) -> str:
    """Of all its keys in the store. By the short id: renaming moves nothing."""
    return f"datastores/{datastore.short_id}/"


def user(services: Services, datastore: Datastore) -> str:
    """What the store calls whom it gives the datastore's keys to."""
    return f"ccx-{services.settings.instance}-{datastore.short_id}"


async def repository(tx: AsyncSession, services: Services, datastore: Datastore) -> Repository | None:
    """None while it has no keys: nobody asked for a backup yet, or it is gone."""
    kept = await services.vault.get_all(tx, scope(datastore.id))
    cloud = services.settings.cloud(datastore.cloud)
    if "access_key" not in kept or cloud is None or not has_store(cloud):
        return None
    location = location_of(cloud)
    return Repository(
        location=location,
        ca=location.ca.read_text() if location.ca else "",
        prefix=prefix(datastore),
        credentials=Credentials(kept["access_key"], kept["secret_key"]),
        cipher=kept["cipher"],
    )


async def keep(tx: AsyncSession, services: Services, datastore: Datastore, keys: Credentials) -> None:
    """Seals keys, and makes the cipher where there is none: it is never changed, or older backups would be lost."""
    own = scope(datastore.id)
    await services.vault.put_if_absent(tx, own, "cipher", lambda: new_password(_CIPHER_LENGTH))
    await services.vault.put(tx, own, "secret_key", keys.secret_key)
    await services.vault.put(tx, own, "access_key", keys.access_key)


async def forget_keys(tx: AsyncSession, services: Services, datastore: Datastore) -> None:
    """The cipher stays: without it, what is in the store is worth nothing."""
    for name in ("access_key", "secret_key"):
        await services.vault.forget(tx, scope(datastore.id), name)
