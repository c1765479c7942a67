"""What every object store can do for us, and how it fails. The conformance suite proves each implementation."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from ccx.errors import CcxError, Conflict, NotFound, Transient


class Unreachable(Transient):
    """It did not answer, or answered that it can't now (503, too slow). May be retried."""


class StoreRefused(CcxError):
    """It answered, and said no. ``err`` says to what."""

    status = 502


class NoBucket(StoreRefused):
    """There is no bucket of that name."""


class WrongKeys(StoreRefused):
    """It doesn't know the access key, or the secret key is another."""


class NotAllowed(StoreRefused):
    """The keys are good, and may not do this: read-only, or somebody else's bucket."""


class Full(StoreRefused):
    """No space is left, or the quota is used up."""


class Untrusted(StoreRefused):
    """Its certificate is signed by nobody whom we trust, has expired, or is another host's."""


class ClockSkewed(StoreRefused):
    """Its clock and ours are too far apart for signatures to be believed."""


class Unsupported(StoreRefused):
    """It doesn't know how to."""


class Locked(StoreRefused):
    """The object can't be deleted yet, by anybody."""


class ObjectExists(Conflict):
    """A conditional put found an object of that key."""


class NoObject(NotFound):
    """There is no object of that key."""


@dataclass(frozen=True)
class Credentials:
    """A pair of keys. The secret one is in no repr."""

    access_key: str
    secret_key: str = field(repr=False)


@dataclass(frozen=True)
class Location:
    """Where a bucket is, for whoever talks to it: us, and the tools on the nodes."""

    endpoint: str
    """URL without a path, ``https://host:port``."""
    bucket: str
    region: str
    style: Literal["path", "virtual"] = "path"
    ca: Path | None = None
    """File of the CA that signs the endpoint's certificate; None: the system's own CAs."""
    verify: bool = True
    """Whether the certificate is checked at all."""
    lock_days: int = 0
    aws: bool = False
    """AWS's own: it has an IAM of its own, at another address."""


@dataclass(frozen=True)
class StoredObject:
    key: str
    size: int
    modified: datetime


class ObjectStore(Protocol):
    """A bucket. Keys are plain text with ``/``.

    Every call ends: with a result, with one of this module's errors, or with :class:`Unreachable` when the store did
    not answer for a minute (one that restarts is waited for that long); only that may be retried.
    """

    async def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        """Returns when the store has it for good. ``only_new``: raises :class:`ObjectExists` if there is one."""

    async def upload(self, key: str, parts: AsyncIterable[bytes]) -> None:
        """Puts what comes in parts, each of 5 MiB or more but the last. Half an upload is never seen."""

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        """The object, or that range of it. Raises :class:`NoObject`."""

    async def list(self, prefix: str) -> list[StoredObject]:
        """All objects whose keys begin with it, by key."""

    async def delete(self, key: str) -> None:
        """Succeeds where there is none. Raises :class:`Locked` before its time."""

    async def put_locked(self, key: str, data: bytes, until: datetime) -> str:
        """Puts an object that nobody can delete before; returns its version. Raises :class:`Unsupported`."""

    async def delete_version(self, key: str, version: str) -> None:
        """Deletes what :meth:`put_locked` put. Raises :class:`Locked` before its time."""

    async def delete_all(self, prefix: str) -> int:
        """Deletes all objects whose keys begin with it, all their versions and unfinished uploads.

        Returns how many versions stay, because they are locked.
        """

    async def lock(self, keys: Sequence[str], until: datetime) -> None:
        """From now on nobody can delete these objects' current versions before; a lock is never shortened.

        Raises :class:`Unsupported` in a bucket without object lock.
        """

    async def drop_old_versions(self, prefix: str, before: datetime) -> int:
        """Deletes what deleting left: versions that were replaced or deleted, and are older; and marks of deletion.

        What is locked stays. Returns how many went. Does nothing in a bucket without versions.
        """

    async def drop_unfinished(self, prefix: str, before: datetime) -> int:
        """Gives up uploads that began before, and were never finished: who was killed in one left its parts there.

        They show in no list of objects, and are paid for. Returns how many went.
        """

    async def clock(self) -> datetime:
        """The store's own time, to the second."""

    async def close(self) -> None:
        """Releases connections."""


class Access(Protocol):
    """Gives each datastore keys that are good for its own prefix and nothing else. Idempotent by name."""

    async def grant(self, name: str, prefix: str, *, read_only: bool = False) -> Credentials:
        """Fresh keys for ``prefix`` (``…/``): reads, writes, lists and deletes below it. Earlier ones of it end.

        ``read_only``: reads and lists only.
        """

    async def revoke(self, name: str) -> None:
        """From now on its keys open nothing. Succeeds where there are none."""

    async def close(self) -> None:
        """Releases connections."""
