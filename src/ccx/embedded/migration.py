"""Migrates the database in a child: what that takes, a tenth of the control plane's memory, goes with it."""

from __future__ import annotations

import asyncio
import multiprocessing
from multiprocessing.connection import Connection

import structlog

from ccx.db import make_engine
from ccx.db.endpoints import POSTGRESQL
from ccx.errors import CcxError
from ccx.settings import Settings

log = structlog.get_logger()


def migrated(settings: Settings) -> None:
    """Brings the database's schema up to this version. To be called before the process has threads.

    Raises :class:`ccx.errors.CcxError` with the reason.
    """
    answers, told = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_migrate_and_tell, args=(settings, told))
    child.start()
    told.close()
    with answers:
        try:
            reason = answers.recv()
        except EOFError:
            reason = "the process that migrates it was killed"
    child.join()
    if reason is not None:
        raise CcxError(f"the database could not be brought up to this version: {reason}", status=500)


def _migrate_and_tell(settings: Settings, told: Connection) -> None:
    from ccx.db import migrate

    async def upgrade() -> None:
        engine = make_engine(POSTGRESQL.checked_url(settings.dsn, settings))
        try:
            await migrate.upgrade(engine)
        finally:
            await engine.dispose()

    try:
        asyncio.run(upgrade())
    except Exception as error:
        log.exception("migration failed")
        told.send(str(error) or type(error).__name__)
    else:
        told.send(None)
