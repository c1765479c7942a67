"""Bring the database's schema up to this version. Migrations expand first and contract a release later."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

_LOCK = 0x0CC8_0001
"""The advisory lock's key: one migration at a time in a database, whoever starts it."""


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration for the migrations of this package."""
    cfg = Config()
    cfg.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    cfg.set_main_option("path_separator", "os")
    cfg.attributes["connection"] = connection
    return cfg


def head() -> str | None:
    """The newest revision that this version knows."""
    return ScriptDirectory.from_config(config()).get_current_head()


async def upgrade(engine: AsyncEngine, revision: str = "head") -> None:
    """Apply what is missing, all in one transaction; a failed migration leaves the schema as it was.

    Any number of processes may call this at once: one works, the others wait and find nothing left to do.
    """
    async with engine.begin() as connection:
        await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await connection.run_sync(lambda sync: command.upgrade(config(sync), revision))


async def downgrade(engine: AsyncEngine, revision: str) -> None:
    """Undo migrations down to ``revision`` (``base``: all). For development: data is lost."""
    async with engine.begin() as connection:
        await connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await connection.run_sync(lambda sync: command.downgrade(config(sync), revision))
