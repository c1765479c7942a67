"""A real PostgreSQL for the tests: one server a session, on a unix socket, and a fresh migrated database a module."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from ccx.db import SessionFactory, make_engine, make_session_factory, migrate
from ccx.db.postgres_binaries import installed

START_TIMEOUT_S = 30


def _user() -> pwd.struct_passwd:
    """Whom the server runs as: PostgreSQL refuses root."""
    if os.getuid() != 0:
        return pwd.getpwuid(os.getuid())
    try:
        return pwd.getpwnam("ccx")
    except KeyError:
        return pwd.getpwnam("nobody")


def _die_with_parent() -> None:
    """A test run that is killed must not leave its server behind (PR_SET_PDEATHSIG; SIGINT: a fast shutdown)."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)


@dataclass
class PostgresServer:
    """A server that tests may restart."""

    bin: Path
    home: Path
    user: pwd.struct_passwd
    process: subprocess.Popen[bytes] | None = None
    settings: dict[str, str] = field(
        default_factory=lambda: {"listen_addresses": "", "fsync": "off", "max_connections": "200"}
    )

    def _as_user(self) -> dict[str, object]:
        if os.getuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def init(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        os.chown(self.home, self.user.pw_uid, self.user.pw_gid)
        self.home.chmod(0o755)
        subprocess.run(
            [self.bin / "initdb", "-D", self.home / "data", "-U", "ccx", "-A", "trust", "-E", "UTF8", "--no-locale",
             "--no-sync"],
            check=True, capture_output=True, cwd=self.home, **self._as_user(),
        )  # fmt: skip

    def start(self) -> None:
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.bin / "postgres", "-D", self.home / "data", "-k", self.home, *options],
                stdout=log, stderr=log, cwd=self.home, preexec_fn=_die_with_parent, **self._as_user(),
            )  # fmt: skip
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(psycopg.OperationalError), self.connect():
                return
            if self.process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"PostgreSQL did not start: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: fast. SIGQUIT: as a crash."""
        if self.process:
            self.process.send_signal(how)
            self.process.wait(START_TIMEOUT_S)
            self.process = None

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(host=str(self.home), user="ccx", dbname=database, autocommit=True)

    def dsn(self, database: str) -> str:
        return f"postgresql+psycopg://ccx@/{database}?host={self.home}"


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
    cache = Path("/var/lib/ccx/cache") if os.getuid() == 0 else Path.home() / ".cache" / "ccx"
    home = Path(tempfile.mkdtemp(prefix="ccx-pg-"))
    server = PostgresServer(bin=installed(cache), home=home, user=_user())
    server.init()
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: PostgresServer) -> str:
    """A database with the newest schema and no rows, which others are copied from: migrating costs time, copying none."""
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
