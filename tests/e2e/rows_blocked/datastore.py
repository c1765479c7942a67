"""What tests of blocked rows do to a datastore and see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from tests.e2e.machine import Installed
from tests.e2e.tenant import Parameters, Store, select


async def started(store: Store) -> bool:
    return await shows(store, "STARTED")


async def shows(store: Store, status: str) -> bool:
    return (await store.status())[0] == status


async def writable(store: Store, folder: Path) -> bool:
    """Whether a row can be committed within five seconds."""
    try:
        async with asyncio.timeout(5):
            await write(store, folder, connect_timeout="2")
    except (psycopg.Error, TimeoutError):
        return False
    return True


async def write(store: Store, folder: Path, **changed: str) -> None:
    """Commits a row, at whichever node accepts it. Raises psycopg.Error."""
    parameters = await store.read_write(folder, **changed)
    async with await psycopg.AsyncConnection.connect(autocommit=True, **parameters) as connection:
        await connection.execute("create table if not exists proof (at timestamptz)")
        await connection.execute("insert into proof values (now())")


async def is_primary(node: Parameters) -> bool | None:
    """None while it does not answer: it restarts, on its way down from primary, or it is busy."""
    try:
        return not await select(node, "select pg_is_in_recovery()")
    except psycopg.OperationalError:
        return None


@asynccontextmanager
async def on_loopback(installed: Installed, port: int) -> AsyncIterator[None]:
    """Between the control plane's own services, nothing passes on that port."""
    place = "type filter hook output priority -10;"
    await installed.inside("nft", f"table ip fault {{ chain output {{ {place} oif lo tcp dport {port} drop; }}; }}")
    try:
        yield
    finally:
        await installed.inside("nft", "delete table ip fault")
