"""Writes the copy: now and then a base, and between them each byte of the log, some seconds after it was written."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from ccx.db import utc_now
from ccx.recovery.database import Database, Position
from ccx.recovery.places import Series, instance_prefix, series_of, span
from ccx.recovery.sealing import DataKey
from ccx.secrets import KeyRing
from ccx.storage.base import NoObject
from ccx.storage.light import Shelf

BASE_AFTER = timedelta(hours=24)
LOG_PER_BASE = 512 * 2**20
"""Bytes of log, of which bringing back has to replay no more."""
_KEPT_BASES = 2
_LET_GO_EVERY = 8 * 2**20
_LOOK_S = 2.0


@dataclass(frozen=True)
class Base:
    """A complete base copy: its manifest. With the log from ``start`` to at least ``end`` it can be brought back."""

    label: str
    generation: int
    parts: int
    size: int
    start: int
    end: int
    timeline: int
    segment: int
    system: str
    major: int
    """PostgreSQL's."""

    @property
    def begun(self) -> datetime:
        return datetime.strptime(self.label, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    @classmethod
    def read(cls, manifest: bytes) -> Base:
        return cls(**json.loads(manifest))


class Copy:
    """One generation's. Nothing is remembered here that is not in the store: a new process goes on where that ends."""

    def __init__(self, store: Shelf, database: Database, ring: KeyRing, series: Series, major: int) -> None:
        self._store = store
        self._database = database
        self._ring = ring
        self._series = series
        self._major = major
        self._key: DataKey | None = None
        self._end: int | None = None
        """Up to where the log is in the store, without a gap from the newest base on."""
        self._let_go = 0
        self._configuration: bytes | None = None
        self.base: Base | None = None

    async def step(self, configuration: bytes) -> datetime:
        """Puts what is new. Returns up to when the copy is complete. Raises what store and database raise."""
        if self._key is None:
            await self._resume()
        if configuration != self._configuration:
            await self._store.put(self._series.configuration, configuration)
            self._configuration = configuration
        moment = utc_now()
        at = await self._database.position()
        await self._continuous(at)
        if self._due(at):
            await self._make_base()
            moment = utc_now()
            at = await self._database.position()
        await self._ship(at)
        return moment

    async def _resume(self) -> None:
        """What an earlier process of this generation has put."""
        try:
            self._key = DataKey.opened(await self._store.get(self._series.key), self._ring, self._series)
        except NoObject:
            fresh = DataKey.new()
            await self._store.put(self._series.key, fresh.sealed(self._ring, self._series))
            self._key = fresh
            return
        bases = [key for key in await self._keys(self._series.bases) if key.endswith("/manifest")]
        self.base = Base.read(await self._store.get(bases[-1])) if bases else None
        self._end = reached(await self._keys(self._series.log), self.base.start) if self.base else None

    async def _continuous(self, at: Position) -> None:
        """Begins anew where the log has a gap: the database gave it up, or is another one."""
        kept = await self._database.kept_from()
        other = self.base is not None and (self.base.system, self.base.timeline) != (at.system, at.timeline)
        if kept is not None and self._end is not None and kept - kept % at.segment <= self._end <= at.end and not other:
            self._let_go = max(self._let_go, kept)
            return
        self.base = None
        self._let_go = await self._database.keep()
        self._end = self._let_go - self._let_go % at.segment

    def _due(self, at: Position) -> bool:
        if self.base is None:
            return True
        return utc_now() - self.base.begun > BASE_AFTER or at.end - self.base.start > LOG_PER_BASE

    async def _make_base(self) -> None:
        assert self._end is not None
        assert self._key is not None
        at = await self._database.position()
        start = self._end - self._end % at.segment
        # The wrapping key may be another one by now.
        await self._store.put(self._series.key, self._key.sealed(self._ring, self._series))
        label = utc_now().strftime("%Y%m%dT%H%M%SZ")
        making = asyncio.create_task(self._put_parts(label))
        try:
            while not (await asyncio.wait({making}, timeout=_LOOK_S))[0]:
                await self._ship(await self._database.position())  # the log does not wait for a large database
            parts, size = await making
        finally:
            making.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await making
        at = await self._database.position()  # what ended the base is on disk before the tool returns
        await self._ship(at)
        base = Base(
            label, self._series.generation, parts, size, start, at.end, at.timeline, at.segment, at.system, self._major
        )
        await self._store.put(self._series.manifest(label), json.dumps(asdict(base)).encode())
        self.base = base
        await self._prune()

    async def _put_parts(self, label: str) -> tuple[int, int]:
        assert self._key is not None
        number = size = 0
        async with contextlib.aclosing(self._database.base(label)) as parts:
            async for part in parts:
                key = self._series.part(label, number)
                await self._store.put(key, await asyncio.to_thread(self._key.seal, key, part))
                number, size = number + 1, size + len(part)
        return number, size

    async def _ship(self, at: Position) -> None:
        assert self._end is not None
        assert self._key is not None
        while self._end < at.end:
            data = await self._database.read(at, self._end)
            key = self._series.chunk(self._end, self._end + len(data))
            await self._store.put(key, await asyncio.to_thread(self._key.seal, key, data, compress=True))
            self._end += len(data)
        if self._end - self._let_go > _LET_GO_EVERY:
            await self._database.let_go(self._end)
            self._let_go = self._end

    async def _prune(self) -> None:
        """Removes what none of the last two bases needs, of earlier generations too. Claims stay."""
        keys = await self._keys(instance_prefix(self._series.instance))
        manifests = sorted(key for key in keys if key.endswith("/manifest"))[-_KEPT_BASES:]
        kept = [Base.read(await self._store.get(key)) for key in manifests]
        for series in series_of(self._series.instance, keys):
            if series.generation > self._series.generation:
                continue  # its owner has overtaken us
            starts = [base.start for base in kept if base.generation == series.generation]
            for key in (key for key in keys if key.startswith(series.prefix)):
                if key.startswith(series.log):
                    gone = not starts or span(key)[1] <= min(starts)
                elif key.startswith(series.bases):
                    gone = not any(key.startswith(f"{series.bases}{base.label}/") for base in kept)
                else:
                    gone = not starts
                if gone:
                    await self._store.delete(key)

    async def _keys(self, prefix: str) -> list[str]:
        return [one.key for one in await self._store.list(prefix)]


def reached(chunks: list[str], start: int) -> int | None:
    """How far the log goes from ``start`` on without a gap; None: not even begun."""
    end, begun = start, False
    for key in sorted(chunks):
        first, last = span(key)
        if first <= end < last:
            end, begun = last, True
    return end if begun else None
