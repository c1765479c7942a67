"""A real PostgreSQL for the tests: one server a session, on a unix socket, and a fresh migrated database a module."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.postgres_server import PostgresServer, running_server

from ccx.db import SessionFactory, make_engine, make_session_factory, migrate


@dataclass(frozen=True)
class Database:
    """A database of the test's own.

    Attributes:
        dsn: ``postgresql+psycopg://…``, also for other processes.
        server: the server it is on, shared with other tests; restart it, but start it again.
    """

    name: str
    dsn: str
    engine: AsyncEngine
    sessions: SessionFactory
    server: PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One server for the whole run."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: PostgresServer) -> str:
    """A database with the newest schema and no rows. Others are copied from it: that is quicker than migrating."""
    name = "migrated_template"
    with postgres_server.connect() as connection:
        connection.execute(f"create database {name}")
    engine = make_engine(postgres_server.dsn(name))
    await migrate.upgrade(engine)
    await engine.dispose()
    return name


@contextlib.asynccontextmanager
async def fresh_database(server: PostgresServer, template: str) -> AsyncIterator[Database]:
    """A new database, gone afterwards."""
    name = f"test_{uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(f"create database {name} template {template}")
    engine = make_engine(server.dsn(name))
    try:
        yield Database(name, server.dsn(name), engine, make_session_factory(engine), server)
    finally:
        await engine.dispose()
        with server.connect() as connection:
            connection.execute(f"drop database {name} with (force)")


@pytest.fixture(scope="module")
async def database(postgres_server: PostgresServer, migrated_template: str) -> AsyncIterator[Database]:
    """A fresh migrated database for the module."""
    async with fresh_database(postgres_server, migrated_template) as fresh:
        yield fresh


@pytest.fixture
async def empty_database(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """A database without any schema, for one test."""
    async with fresh_database(postgres_server, "template0") as fresh:
        yield fresh
