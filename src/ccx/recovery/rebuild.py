"""Brings a control plane back from the store: finds the newest copy, takes the claim, writes the database's files."""

from __future__ import annotations

import asyncio
import shutil
import tarfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from ccx.errors import CcxError, Conflict, Invalid, NotFound
from ccx.recovery import claim
from ccx.recovery.claim import Own
from ccx.recovery.copy import Base, reached
from ccx.recovery.places import ALL, Series, instance_prefix, instances, series_of, span
from ccx.recovery.sealing import DataKey
from ccx.secrets import KeyRing
from ccx.secrets.keys import Unsealable
from ccx.storage.base import NoObject
from ccx.storage.light import Shelf

_AT_ONCE = 8
_GIVES_UP_WITHIN_S = 90.0


@dataclass(frozen=True)
class Found:
    """A copy that can be brought back."""

    base: Base
    series: Series
    key: DataKey
    chunks: list[str]
    """Of the log, from the base's start on, without a gap."""
    end: datetime
    """When the newest of them came into the store."""


@dataclass(frozen=True)
class Rebuilt:
    """What came back."""

    own: Own
    configuration: bytes
    base: Base
    end: datetime


async def find(store: Shelf, instance: str, ring: KeyRing) -> Found:
    """The newest copy of ``instance``. Raises NotFound; Invalid when the wrapping key is another installation's."""
    objects = {one.key: one for one in await store.list(instance_prefix(instance))}
    keys = list(objects)
    for series in reversed(series_of(instance, keys)):
        for manifest in sorted(
            (k for k in keys if k.startswith(series.bases) and k.endswith("/manifest")), reverse=True
        ):
            try:
                base = Base.read(await store.get(manifest))
            except (ValueError, TypeError):  # damaged: an earlier one may do
                continue
            parts = {series.part(base.label, number) for number in range(base.parts)}
            log = sorted(key for key in keys if key.startswith(series.log))
            end = reached(log, base.start)
            if end is None or end < base.end or not parts <= objects.keys():
                continue
            chunks = [key for key in log if base.start < span(key)[1] <= end]
            try:
                key = DataKey.opened(await store.get(series.key), ring, series)
            except Unsealable:
                raise Invalid(
                    f"the recovery copy's wrapping key does not open the copy of instance {instance!r}",
                    field="--recovery-file",
                    remedy="Give the recovery copy that was made of this instance",
                ) from None
            except NoObject:
                continue
            newest = max(objects[key].modified for key in [*chunks, manifest])
            return Found(base, series, key, chunks, newest)
    others = [name for name in instances([one.key for one in await store.list(ALL)]) if name != instance]
    raise NotFound(
        f"there is no complete copy of instance {instance!r} in the object store",
        field="--instance",
        remedy=f"There is something of: {', '.join(others)}" if others else "Look whether it is the right bucket",
    )


async def rebuild(
    store: Shelf, instance: str, ring: KeyRing, brought: int, var: Path, data: Path, say: Callable[[str], None]
) -> Rebuilt:
    """Takes the claim, and writes the database's files to ``data``, which appears whole or not at all. Repeatable.

    ``brought`` is the major version of PostgreSQL that there is for it, ``var`` where the new claim is written down.
    Raises what :func:`find` does, and :class:`ccx.errors.Conflict` for a copy of another version, before anything is
    changed, or when the control plane that had the claim goes on. A store that is silent raises: nobody may act by a
    claim that nobody knows.
    """
    _check_major((await find(store, instance, ring)).base, brought)
    own = await _claim(store, instance, var, say)
    found = await find(store, instance, ring)  # what came since, from one that has stopped by now
    say(f"base copy of {found.base.begun:%Y-%m-%d %H:%M:%S} UTC, log until {found.end:%H:%M:%S} UTC")
    fresh = data.with_name("data.new")
    await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
    fresh.mkdir(parents=True, mode=0o700)
    await _base(store, found, fresh)
    await _log(store, found, fresh / "pg_wal")
    configuration = await store.get(found.series.configuration)
    await asyncio.to_thread(shutil.rmtree, data, ignore_errors=True)  # of a recovery that was broken off
    await asyncio.to_thread(fresh.rename, data)
    return Rebuilt(own, configuration, found.base, found.end)


async def _claim(store: Shelf, instance: str, var: Path, say: Callable[[str], None]) -> Own:
    """Takes a newer claim, unless an earlier try did; and waits, each time, until the one that had it has stopped."""
    there = await claim.newest(store, instance)
    if there is None:
        raise NotFound(
            f"instance {instance!r} has a copy in the object store, and no claim", remedy="Do not remove any"
        )
    own = Own.load(var)
    if own.nonce != there.nonce or not own.recovered:
        own = Own(there.installation, there.generation, recovered=True)
        own = await claim.take(store, instance, var, own, there.generation + 1)
    own = replace(own, generation=max(own.generation, there.generation), boot=claim.boot(), recovered=True)
    own.save(var)
    if (before := await claim.numbered(store, instance, own.generation - 1)) is not None:
        await _until_stopped(store, instance, before, say)
    return own


async def _until_stopped(store: Shelf, instance: str, before: claim.Claim, say: Callable[[str], None]) -> None:
    told, until = False, time.monotonic() + _GIVES_UP_WITHIN_S
    while await claim.acting(store, instance, before):
        if not told:
            say(f"waiting until the control plane of before has stopped: {before.words()}")
            told = True
        if time.monotonic() > until:
            raise Conflict(
                f"the control plane of before goes on: {before.words()}", remedy="Stop it there, and run this again"
            )
        await asyncio.sleep(1)


async def _base(store: Shelf, found: Found, into: Path) -> None:
    packed = into.with_suffix(".tar.gz")
    with packed.open("wb") as file:
        for number in range(found.base.parts):
            key = found.series.part(found.base.label, number)
            await asyncio.to_thread(file.write, found.key.open(key, await store.get(key)))

    def unpack() -> None:
        with tarfile.open(packed) as archive:
            archive.extractall(into, filter="data")

    await asyncio.to_thread(unpack)
    packed.unlink()


async def _log(store: Shelf, found: Found, into: Path) -> None:
    """The log's files again, from its chunks; the last one is filled up with zeros, as PostgreSQL does."""
    await asyncio.to_thread(into.mkdir, exist_ok=True)
    size, per_id = found.base.segment, 2**32 // found.base.segment
    limit = asyncio.Semaphore(_AT_ONCE)

    async def write(key: str) -> None:
        async with limit:
            data = found.key.open(key, await store.get(key), compressed=True)
        start, end = span(key)
        number, offset = divmod(start, size)
        if len(data) != end - start or offset + len(data) > size:
            raise CcxError(f"{key} in the object store is not what its name says", status=500)
        file = into / f"{found.base.timeline:08X}{number // per_id:08X}{number % per_id:08X}"
        with file.open("r+b" if file.exists() else "w+b") as segment:
            if segment.seek(0, 2) != size:
                segment.truncate(size)
            segment.seek(offset)
            segment.write(data)

    for first in range(0, len(found.chunks), 256):
        await asyncio.gather(*(write(key) for key in found.chunks[first : first + 256]))


def _check_major(base: Base, brought: int) -> None:
    """Raises Conflict when this version brings another PostgreSQL than the copy's."""
    if base.major != brought:
        raise Conflict(
            f"the copy was made by PostgreSQL {base.major}, this version of ccx brings {brought}",
            remedy="Recover with the version that made it, and update then",
        )
