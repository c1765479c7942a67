"""What keeps this control plane's claim and copy while it serves; and what its return from a copy needs first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import structlog

from ccx import jobs
from ccx.db.postgres_binaries import installed, major
from ccx.embedded.assemble import Assembled
from ccx.errors import CcxError
from ccx.recovery.copy import Copy
from ccx.recovery.database import Database
from ccx.recovery.keeper import Keeper
from ccx.recovery.places import Series
from ccx.secrets import KeyRing
from ccx.settings import Settings
from ccx.storage.endpoints import copy_cloud
from ccx.storage.light import Shelf
from ccx.storage.opened import open_shelf

_ACTING = {"runner", "state"}

log = structlog.get_logger()


@asynccontextmanager
async def kept(parts: Assembled, roles: Sequence[str]) -> AsyncIterator[Keeper]:
    """The keeper, settled on its claim as far as the store answers. Raises :class:`ccx.recovery.claim.Superseded`."""
    settings = parts.services.settings
    store, why_not = _store(settings, roles)
    programs = installed(settings.paths.var / "postgresql") if store else settings.paths.var
    ring = KeyRing.load(settings.paths.etc / "wrapping.key")

    def copy(series: Series) -> Copy:
        assert store is not None
        return Copy(store, Database(settings, parts.engine, programs), ring, series, major())

    keeper = Keeper(settings, store, copy, why_not)
    try:
        await keeper.begin()
        if keeper.own.recovered:
            async with parts.services.sessions.begin() as tx:
                await jobs.outrun(tx)
            keeper.used()
            log.info("goes on where a copy of the database ends")
        yield keeper
    finally:
        await keeper.end()


def _store(settings: Settings, roles: Sequence[str]) -> tuple[Shelf | None, str]:
    if not _ACTING & set(roles):
        return None, ""
    if not settings.embedded_database:
        return None, "the database is not ours (dsn): its owner backs it up"
    cloud = copy_cloud(settings)
    if cloud is None:
        return None, "no cloud has an object store"
    try:
        return open_shelf(cloud, settings), ""
    except CcxError as error:
        return None, str(error)
