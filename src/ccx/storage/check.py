"""Tries what backups need of an object store, one thing after the other, and says what is missing."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ccx.errors import CcxError, Transient
from ccx.storage.base import Access, Locked, NoObject, NotAllowed, ObjectExists, StoreRefused, Unsupported
from ccx.storage.s3 import S3

_PART = 5 * 2**20
"""The smallest part that S3 takes, but for the last one."""
_LARGEST_SKEW = 60.0
"""Seconds. Stores refuse signatures after 15 minutes; a recovery point is wrong by as much as the clocks differ."""
_LOCKED_FOR = 4.0
_FULL = "It answers, and keeps nothing: make room if it is full, or look into its log"
_WHEN_SILENT = {
    "reach": "Look whether it runs, and whether the firewalls let it through: ccx network plan",
    "put": _FULL,
    "multipart upload": _FULL,
}


@dataclass(frozen=True)
class Tried:
    """One thing that was tried. ``ok`` None: not tried, because of an earlier one."""

    name: str
    ok: bool | None
    needed: bool = True
    """Whether backups can't do without."""
    seconds: float = 0
    detail: str = ""
    err: str = ""
    remedy: str = ""


class _Failed(CcxError):
    """The store did something else than it said."""


async def check(store: S3, access: Access | None = None) -> list[Tried]:
    """What was tried, in order. Leaves nothing behind, whatever happens. Takes seconds; never raises for the store."""
    one = _Check(store, access, f"ccx-check/{secrets.token_hex(8)}/")
    try:
        return await one.run()
    finally:
        await asyncio.shield(one.clean())


class _Check:
    def __init__(self, store: S3, access: Access | None, prefix: str) -> None:
        self._store = store
        self._access = access
        self._prefix = prefix
        self._data = secrets.token_bytes(4096)
        self._key = f"{prefix}object"

    async def run(self) -> list[Tried]:
        lock = self._store.location.lock_days > 0
        steps: list[tuple[str, Callable[[], Awaitable[str]], bool]] = [
            ("reach", self._reach, True),
            ("clock", self._clock, True),
            ("list", self._list, True),
            ("put", self._put, True),
            ("get", self._get, True),
            ("range get", self._range, True),
            ("conditional put", self._conditional, True),
            ("multipart upload", self._multipart, True),
            ("delete", self._delete, True),
            ("object lock", self._lock, lock),
        ]
        if self._access is not None:
            steps.append(("own credentials", self._own, True))
        tried: list[Tried] = []
        stopped = False
        for name, step, needed in steps:
            tried.append(Tried(name, None, needed) if stopped else await _try(name, step, needed))
            # Without these, all that follows would fail for the same reason.
            stopped = stopped or (tried[-1].ok is False and name in ("reach", "list", "put"))
        return tried

    async def clean(self) -> None:
        with suppress(CcxError, Transient):
            for left in await self._store.list(self._prefix):
                with suppress(CcxError):
                    await self._store.delete(left.key)

    async def _reach(self) -> str:
        await self._store.clock()
        where = self._store.location
        if not where.verify:
            return "its certificate is not checked (s3_insecure_ssl)"
        return where.endpoint if where.endpoint.startswith("https") else f"{where.endpoint}, unencrypted"

    async def _clock(self) -> str:
        before = datetime.now(UTC)
        there = await self._store.clock()
        here = before + (datetime.now(UTC) - before) / 2
        skew = abs((there - here).total_seconds())
        if skew > _LARGEST_SKEW:
            raise _Failed(f"its clock and ours are {skew:.0f} s apart", remedy="Have both keep time by NTP")
        return f"within {skew:.0f} s"

    async def _list(self) -> str:
        await self._store.list(self._prefix)
        return self._store.location.bucket

    async def _put(self) -> str:
        await self._store.put(self._key, self._data)
        return ""

    async def _get(self) -> str:
        if await self._store.get(self._key) != self._data:
            raise _Failed("it gave back something else than was put", remedy="Don't keep backups there")
        return ""

    async def _range(self) -> str:
        if await self._store.get(self._key, start=100, length=50) != self._data[100:150]:
            raise _Failed("it gave back something else than the range asked for", remedy="Use a store that can")
        return ""

    async def _conditional(self) -> str:
        try:
            await self._store.put(self._key, b"other", only_new=True)
        except ObjectExists:
            return "an object that exists is not overwritten"
        raise _Failed(
            "it overwrote an object, asked to put it only if there is none",
            remedy="Use a store that knows If-None-Match: two writers could take each other's place unseen",
        )

    async def _multipart(self) -> str:
        key, parts = f"{self._prefix}parts", [secrets.token_bytes(_PART), self._data]

        async def send() -> AsyncIterator[bytes]:
            for part in parts:
                yield part

        began = time.monotonic()
        await self._store.upload(key, send())
        took = time.monotonic() - began
        sizes = {entry.key: entry.size for entry in await self._store.list(self._prefix)}
        if sizes.get(key) != sum(map(len, parts)) or await self._store.get(key, start=_PART) != self._data:
            raise _Failed("what it keeps is not what was uploaded in parts", remedy="Don't keep backups there")
        return f"{sum(map(len, parts)) / took / 2**20:.0f} MiB/s"

    async def _delete(self) -> str:
        await self._store.delete(self._key)
        with suppress(NoObject):
            await self._store.get(self._key)
            raise _Failed("what was deleted is still there", remedy="Let these keys delete objects, not only mark them")
        return ""

    async def _lock(self) -> str:
        if not await self._store.lock_enabled():
            raise Unsupported(
                f"the bucket {self._store.location.bucket} was made without object lock",
                remedy="Make one with it, if backups are to outlive stolen keys; then set s3_lock_days",
            )
        key, until = f"{self._prefix}locked", datetime.now(UTC) + timedelta(seconds=_LOCKED_FOR)
        version = await self._store.put_locked(key, self._data, until)
        try:
            await self._store.delete_version(key, version)
        except (Locked, NotAllowed):
            await asyncio.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + 1)
            await self._store.delete_version(key, version)
            return "a locked object is not deleted before its time"
        raise _Failed("it deleted a locked object before its time", remedy="Don't count on its lock")

    async def _own(self) -> str:
        """Keys of a made-up datastore reach its prefix, and not the one beside it."""
        assert self._access is not None
        name = "ccx-check-" + self._prefix.split("/")[1]
        beside = f"{self._prefix}beside"
        await self._store.put(beside, self._data)
        try:
            keys = await self._access.grant(name, f"{self._prefix}own/")
            theirs = S3(self._store.location, keys, proxy=self._store.proxy, patience=15)
            try:
                await _once_known(lambda: theirs.put(f"{self._prefix}own/object", self._data))
                await theirs.list(f"{self._prefix}own/")
                for refused in (lambda: theirs.get(beside), lambda: theirs.put(beside, b"x"), lambda: theirs.list("")):
                    try:
                        await refused()
                    except NotAllowed:
                        continue
                    raise _Failed(
                        "keys of one datastore open another's backups", remedy="Use a store with IAM policies"
                    )
            finally:
                await theirs.close()
        finally:
            await self._access.revoke(name)
        return "good for their own prefix and nothing else"


async def _once_known(call: Callable[[], Awaitable[None]], within: float = 15) -> None:
    """New users' keys take some seconds on AWS until they are known everywhere."""
    deadline = time.monotonic() + within
    while True:
        try:
            return await call()
        except StoreRefused:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(0.5)


async def _try(name: str, step: Callable[[], Awaitable[str]], needed: bool) -> Tried:
    began = time.monotonic()
    try:
        detail = await step()
    except CcxError as error:
        return Tried(name, False, needed, time.monotonic() - began, err=error.err, remedy=error.remedy or "")
    except Transient as error:
        remedy = _WHEN_SILENT.get(name, "Look into its log: it answered before")
        return Tried(name, False, needed, time.monotonic() - began, err=str(error), remedy=remedy)
    return Tried(name, True, needed, time.monotonic() - began, detail=detail)
