"""What the copy asks of the database: where its log is, and to keep what is not in the store yet."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from ccx.db import make_engine
from ccx.db.endpoints import POSTGRESQL
from ccx.errors import CcxError
from ccx.recovery.places import ROLE
from ccx.settings import Settings

SLOT = "ccx_copy"
_CHUNK = 2**19
"""Bytes of an object. The embedded store keeps buffers of its largest for ever."""

_WHERE = """
select (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::bigint,
       pg_walfile_name(pg_current_wal_flush_lsn()),
       (select setting::bigint from pg_settings where name = 'wal_segment_size'),
       (select system_identifier from pg_control_system())
"""
_SLOT = """
select (restart_lsn - '0/0'::pg_lsn)::bigint, wal_status from pg_replication_slots where slot_name = :slot
"""


@dataclass(frozen=True)
class Position:
    """Of the log: ``end`` is on disk up to there, as a number of bytes."""

    end: int
    timeline: int
    segment: int
    """Bytes of one file."""
    system: str
    """Which database it is."""


class Database:
    """The embedded one, by its sockets and its files: we run as the user that it runs as."""

    def __init__(self, settings: Settings, engine: AsyncEngine, programs: Path) -> None:
        self._settings = settings
        self._engine = engine
        self._programs = programs
        self._socket = settings.paths.run / "postgresql"
        self._log = settings.paths.var / "postgresql" / "data" / "pg_wal"

    async def position(self) -> Position:
        async with self._engine.connect() as connection:
            end, file, segment, system = (await connection.execute(text(_WHERE))).one()
        return Position(int(end), int(file[:8], 16), int(segment), str(system))

    async def kept_from(self) -> int | None:
        """From where on the database keeps its log for us; None: it does not, or had to give it up."""
        async with self._engine.connect() as connection:
            found = (await connection.execute(text(_SLOT), {"slot": SLOT})).one_or_none()
        return None if found is None or found[0] is None or found[1] == "lost" else int(found[0])

    async def keep(self) -> int:
        """Has it keep the log from now on, and returns from where."""
        await self._as_copier(
            "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = :slot", slot=SLOT
        )
        await self._as_copier("select pg_create_physical_replication_slot(:slot, true)", slot=SLOT)
        kept = await self.kept_from()
        if kept is None:
            raise CcxError("the database keeps no log for its copy", status=500)
        return kept

    async def let_go(self, until: int) -> None:
        """What lies before is in the store: the database may remove it."""
        place = f"{until >> 32:X}/{until & 0xFFFFFFFF:X}"
        await self._as_copier(
            "select pg_replication_slot_advance(:slot, cast(:place as pg_lsn))", slot=SLOT, place=place
        )

    async def read(self, at: Position, start: int) -> bytes:
        """The log from ``start`` on, up to half a MiB of it; it ends with its file at the latest. Raises OSError."""
        number, offset = divmod(start, at.segment)
        per_id = 2**32 // at.segment
        file = self._log / f"{at.timeline:08X}{number // per_id:08X}{number % per_id:08X}"
        length = min(_CHUNK, at.segment - offset, at.end - start)

        def read() -> bytes:
            with file.open("rb") as log:
                log.seek(offset)
                return log.read(length)

        data = await asyncio.to_thread(read)
        if len(data) != length:
            raise OSError(f"{file} is too short")
        return data

    async def base(self, label: str) -> AsyncGenerator[bytes, None]:
        """A base copy, as a compressed tar, in parts of half a MiB. Raises :class:`ccx.errors.CcxError`."""
        process = await asyncio.create_subprocess_exec(
            str(self._programs / "pg_basebackup"), "-h", str(self._socket), "-U", ROLE, "-w", "-D", "-", "-F", "tar",
            "-X", "none", "-c", "fast", "--compress=client-gzip:1", "--no-manifest", "-l", f"ccx {label}",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        saying = asyncio.create_task(process.stderr.read())
        try:
            while part := await _up_to(process.stdout, _CHUNK):
                yield part
            if await process.wait() != 0:
                said = (await saying).decode(errors="replace").strip().splitlines()
                raise CcxError(f"no base copy could be made: {said[-1] if said else process.returncode}", status=500)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            saying.cancel()

    async def _as_copier(self, statement: str, **values: str) -> None:
        url = make_url(self._settings.dsn).set(username=ROLE).render_as_string(hide_password=False)
        engine = make_engine(POSTGRESQL.checked_url(url, self._settings), pool_size=1, max_overflow=0)
        try:
            async with engine.begin() as connection:
                await connection.execute(text(statement), values)
        finally:
            await engine.dispose()


async def _up_to(stream: asyncio.StreamReader, size: int) -> bytes:
    """That many bytes; fewer only at the end."""
    try:
        return await stream.readexactly(size)
    except asyncio.IncompleteReadError as error:
        return error.partial
