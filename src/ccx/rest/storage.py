"""For operators: whether the clouds' object stores can hold backups."""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from ccx.errors import CcxError, NotFound
from ccx.rest.deps import Caller, Context, Transaction
from ccx.rest.routing import OperatorRoute
from ccx.rest.routing import router as make_router
from ccx.runner.services import Services
from ccx.settings import CloudConfig
from ccx.storage.check import Tried, check
from ccx.storage.opened import has_store, location_of, open_access, open_store
from ccx.stores import audit

router = make_router(OperatorRoute, "/api/admin/storage", "operators")

_PATIENCE_S = 5


class TriedView(BaseModel):
    name: str
    ok: bool | None
    """null: not tried, because of what failed before."""
    needed: bool
    """Whether backups can't do without."""
    seconds: float
    detail: str
    err: str
    remedy: str


class StoreView(BaseModel):
    cloud: str
    endpoint: str
    bucket: str
    ok: bool
    """Backups can be kept there."""
    tried: list[TriedView]


class StorageCheck(BaseModel):
    ok: bool
    stores: list[StoreView]


@router.post("/check")
async def check_storage(tx: Transaction, caller: Caller, services: Context, cloud: str | None = None) -> StorageCheck:
    """Tries what backups need of a cloud's object store, or of all of them, and says what is missing. Audited."""
    audit.record(tx, caller.actor, "check object stores")
    await tx.commit()  # stores may take their time; no connection is held meanwhile
    wanted = _wanted(services, cloud)
    stores = await asyncio.gather(*(_check(one, services) for one in wanted))
    return StorageCheck(ok=all(store.ok for store in stores), stores=stores)


def _wanted(services: Services, code: str | None) -> list[CloudConfig]:
    configs = services.settings.clouds
    if code is not None:
        found = [config for config in configs if config.code == code]
        if not found:
            known = ", ".join(config.code for config in configs)
            raise NotFound(f"there is no cloud {code!r}", field="cloud", remedy=f"Clouds are: {known}")
        location_of(found[0])  # says why there is nothing to check
        return found
    found = [config for config in configs if has_store(config)]
    if not found:
        raise NotFound("no cloud has an object store", remedy="Name one that speaks S3 in its s3_endpoint")
    return found


async def _check(config: CloudConfig, services: Services) -> StoreView:
    try:
        where = location_of(config)
        store = open_store(config, services.settings, patience=_PATIENCE_S)
        access = open_access(config, services.settings)
    except CcxError as error:
        tried = [Tried("settings", False, err=error.err, remedy=error.remedy or "")]
        endpoint, bucket = config.s3_endpoint, config.s3_bucket
    else:
        endpoint, bucket = where.endpoint, where.bucket
        try:
            tried = await check(store, access)
        finally:
            await store.close()
            await access.close()
    return StoreView(
        cloud=config.code, endpoint=endpoint, bucket=bucket,
        ok=all(one.ok or not one.needed for one in tried),
        tried=[TriedView(**vars(one)) for one in tried],
    )  # fmt: skip
