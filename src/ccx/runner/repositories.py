"""Where a datastore's backups go: its prefix in the cloud's object store, with keys and a cipher of its own."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from ccx.cmon.backup import Origin, Repository
from ccx.errors import Invalid
from ccx.runner import branches
from ccx.runner.services import Services
from ccx.secrets import new_password
from ccx.settings import CloudConfig
from ccx.storage import Credentials, location_of
from ccx.storage.opened import has_store
from ccx.stores import datastores
from ccx.stores.models import Datastore

LATEST, AT_ONCE = "latest", "backup"
"""How far to recover, instead of a time: as the log goes; no further than the backup itself."""

_CIPHER_LENGTH = 48


def cloud_of(services: Services, datastore: Datastore) -> CloudConfig:
    """Where it lives. Raises Invalid for a cloud that is no longer in the settings."""
    if (cloud := services.settings.cloud(datastore.cloud)) is None:
        raise Invalid(f"the cloud {datastore.cloud} is no longer there", remedy="Put it back into the settings")
    return cloud


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
    return _at(cloud, datastore, Credentials(kept["access_key"], kept["secret_key"]), kept["cipher"])


def _at(cloud: CloudConfig, datastore: Datastore, keys: Credentials, cipher: str) -> Repository:
    location = location_of(cloud)
    ca = location.ca.read_text() if location.ca else ""
    return Repository(location=location, ca=ca, prefix=prefix(datastore), credentials=keys, cipher=cipher)


def origin_scope(datastore_id: UUID) -> str:
    """Where the vault keeps the keys by which a new datastore reads another one's backups."""
    return f"origin:{datastore_id}"


def origin_user(services: Services, datastore: Datastore) -> str:
    """What the store calls whom it gives those keys to."""
    return f"{user(services, datastore)}-origin"


async def origin(tx: AsyncSession, services: Services, datastore: Datastore, branch: int) -> Origin | None:
    """What that branch of the datastore is made from; None once it is made, and for one made from nothing."""
    if branches.state(datastore) in (branches.PREPARING, branches.SWITCHING):
        return await _own(tx, services, datastore, branch)
    if datastore.origin is None:
        return None
    keys = await services.vault.get_all(tx, origin_scope(datastore.id))
    source = await datastores.get(tx, UUID(datastore.origin["datastore"]))
    cloud = services.settings.cloud(source.cloud)
    if "access_key" not in keys or cloud is None:
        return None
    cipher = await services.vault.get(tx, scope(source.id), "cipher")
    where = _at(cloud, source, Credentials(keys["access_key"], keys["secret_key"]), cipher)
    return _origin(where, source.short_id, datastore.origin)


async def _own(tx: AsyncSession, services: Services, datastore: Datastore, branch: int) -> Origin | None:
    """Of a branch that a restore in place makes: the datastore's own backups."""
    plan = datastore.restoring or {}
    where = await repository(tx, services, datastore)
    if plan.get("branch") != branch or where is None or "backup" not in plan:
        return None
    return _origin(where, datastore.short_id, plan)


def time_of(plan: dict[str, Any]) -> datetime | None:
    """The time that a restore goes to; None: to something else."""
    to = plan.get("to", LATEST)
    return datetime.fromisoformat(to) if to not in (LATEST, AT_ONCE) else None


def _origin(where: Repository, short_id: str, plan: dict[str, Any]) -> Origin:
    """``plan``: ``backup``, ``to`` and, where it is not all that one log, ``path``; as targets write it."""
    path = tuple((first, name) for first, name in plan.get("path") or ())
    return Origin(
        repository=where,
        name=path[0][1] if path else short_id,
        backup=plan["backup"],
        to=time_of(plan),
        at_once=plan["to"] == AT_ONCE,
        path=path if len(path) > 1 else (),
        before_lsn=plan.get("before_lsn") or "",
        before_xid=plan.get("before_xid"),
        point=plan.get("point", ""),
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
