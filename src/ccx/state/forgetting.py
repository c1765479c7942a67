"""What is over for long is forgotten: ended jobs and sent events. Their tables would grow for ever."""

from __future__ import annotations

from datetime import timedelta

from ccx import jobs
from ccx.db import utc_now
from ccx.runner.services import Services
from ccx.stores import outbox

EVERY = 3600.0
"""Seconds."""
BATCH = 1000


async def forget(services: Services) -> int:
    """Drops what is older than ``keep_history_days``, in small transactions. Returns how many jobs that were."""
    before = utc_now() - timedelta(days=services.settings.keep_history_days)
    async with services.sessions.begin() as tx:
        await outbox.prune(tx, before)
    total = 0
    while True:
        async with services.sessions.begin() as tx:
            dropped = await jobs.prune(tx, before, BATCH)
        total += dropped
        if dropped < BATCH:
            return total
