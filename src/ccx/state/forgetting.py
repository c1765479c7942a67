"""What is over for long is forgotten: ended jobs, sent events, the audit. Their tables would grow for ever."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from ccx import jobs
from ccx.db import utc_now
from ccx.runner.services import Services
from ccx.stores import audit, outbox

Prune = Callable[[AsyncSession, datetime, int], Awaitable[int]]

EVERY = 3600.0
"""Seconds."""
BATCH = 1000


async def forget(services: Services) -> int:
    """Drops what is older than the settings keep it, in small transactions. Returns how many jobs that were."""
    settings, now = services.settings, utc_now()
    before = now - timedelta(days=settings.keep_history_days)
    async with services.sessions.begin() as tx:
        await outbox.prune(tx, before)
    if settings.keep_audit_days:
        await _prune(services, audit.prune, now - timedelta(days=settings.keep_audit_days))
    return await _prune(services, jobs.prune, before)


async def _prune(services: Services, prune: Prune, before: datetime) -> int:
    total = 0
    while True:
        async with services.sessions.begin() as tx:
            dropped = await prune(tx, before, BATCH)
        total += dropped
        if dropped < BATCH:
            return total
