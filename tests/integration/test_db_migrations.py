"""Models and migrations say the same, and migrating is safe to do at once from everywhere."""

from __future__ import annotations

import asyncio
import importlib
import pkgutil
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text
from tests.integration.conftest import Database

import ccx
from ccx.db import Base, migrate


def _import_all_models() -> None:
    for module in pkgutil.walk_packages(ccx.__path__, "ccx."):
        if module.name.rpartition(".")[2] in ("model", "models"):
            importlib.import_module(module.name)


def _differences(connection: Connection) -> list[Any]:
    schemas = {table.schema for table in Base.metadata.tables.values()}
    context = MigrationContext.configure(
        connection,
        opts={
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name in schemas,
            "compare_server_default": True,
        },
    )
    return compare_metadata(context, Base.metadata)


async def test_migrations_build_exactly_the_models(database: Database) -> None:
    _import_all_models()
    async with database.engine.connect() as connection:
        assert await connection.run_sync(_differences) == []


async def test_concurrent_upgrades_wait_for_one_another_and_all_succeed(empty_database: Database) -> None:
    await asyncio.gather(*(migrate.upgrade(empty_database.engine) for _ in range(4)))
    async with empty_database.engine.connect() as connection:
        assert await connection.scalar(text("select version_num from alembic_version")) == migrate.head()


async def test_a_schema_goes_down_to_nothing_and_up_again(empty_database: Database) -> None:
    await migrate.upgrade(empty_database.engine)
    await migrate.downgrade(empty_database.engine, "base")
    async with empty_database.engine.connect() as connection:
        assert await connection.scalar(text("select to_regclass('jobs.job')")) is None
    await migrate.upgrade(empty_database.engine)
    async with empty_database.engine.connect() as connection:
        assert await connection.scalar(text("select to_regclass('jobs.job')::text")) == "jobs.job"
