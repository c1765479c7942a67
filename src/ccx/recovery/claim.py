"""Who owns an instance. Claims are numbered objects in the store, each put only where there is none; the highest holds.

The holder says every :data:`EVERY` seconds that it lives, and looks for a higher claim. Nobody removes a claim: a
machine that was off for a year must still find that it was overtaken.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ccx.db import utc_now
from ccx.errors import CcxError, Conflict
from ccx.ids import new_id
from ccx.recovery.places import claims_prefix
from ccx.storage.base import NoObject, ObjectExists
from ccx.storage.light import Shelf

EVERY = 20.0
"""Seconds between two looks for a newer claim, and two signs of life."""
LEASE = timedelta(seconds=60)
"""Without a sign of life for so long, a holder on another machine counts as gone."""
_FILE = "recovery/claim.json"


class Superseded(Conflict):
    """Somebody else owns the instance. Whoever meets this must not act for it any more."""


class Held(CcxError):
    """Its holder may still live, on another machine or before this one was started anew."""

    status = 409


def boot() -> str:
    """Which run of which machine this is: two copies of one disk, running side by side, differ in it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Claim:
    """One in the store."""

    generation: int
    installation: str
    nonce: str
    boot: str
    host: str
    at: str

    def words(self) -> str:
        return f"{self.host} since {self.at}"


@dataclass(frozen=True)
class Own:
    """What this machine knows of its own claim; ``recovery/claim.json`` in the instance's ``/var/lib`` folder."""

    installation: str
    generation: int = 0
    """0: none yet."""
    nonce: str = ""
    """Of the claim that is held, or was about to be taken when the process ended."""
    tried: int = 0
    """Which generation the nonce was made for. Whoever heard no answer tries with the same one again."""
    boot: str = ""
    recovered: bool = False
    """The database came from a copy, and nothing has acted on it yet."""
    lost: str = ""
    """In whose favour it was lost. Then it is lost for good, whether the store answers or not."""

    @classmethod
    def load(cls, var: Path) -> Own:
        """A new installation's where there is none."""
        try:
            return cls(**json.loads((var / _FILE).read_text()))
        except FileNotFoundError:
            return cls(str(new_id()))

    def save(self, var: Path) -> None:
        target = var / _FILE
        target.parent.mkdir(mode=0o750, exist_ok=True)
        partial = target.with_suffix(".new")
        with partial.open("w") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)


async def newest(store: Shelf, instance: str) -> Claim | None:
    keys = [one.key for one in await store.list(claims_prefix(instance)) if not one.key.endswith(".alive")]
    return await _read(store, keys[-1]) if keys else None


async def numbered(store: Shelf, instance: str, generation: int) -> Claim | None:
    """That generation's."""
    try:
        return await _read(store, _key(instance, generation))
    except NoObject:
        return None


async def settle(store: Shelf, instance: str, var: Path, own: Own) -> Own:
    """This start's claim: kept, or taken. Raises :class:`Superseded`; :class:`Held` while it is not sure.

    A store that does not answer raises as ever: what to do then is the caller's decision.
    """
    there = await newest(store, instance)
    if there is None:
        return await take(store, instance, var, own, own.generation or 1)
    if there.installation != own.installation:
        raise Superseded(
            f"the object store has another installation's claim of instance {instance!r}: {there.words()}",
            remedy=f"Bring that one back with ccx recover, or give this one another name or bucket; "
            f"if it is gone for good, remove {claims_prefix(instance)} from the bucket",
        )
    if there.generation > own.generation and there.nonce != own.nonce:
        raise _lost(var, own, instance, there)
    if there.boot == boot():
        kept = replace(own, generation=there.generation, nonce=there.nonce, boot=there.boot)
        kept.save(var)
        await check(store, instance, var, kept)
        return kept
    if (age := await _silent_for(store, instance, there)) is not None and age < LEASE:
        raise Held(f"instance {instance!r} is held by {there.words()}, last heard of {age.total_seconds():.0f} s ago")
    return await take(store, instance, var, own, there.generation + 1)


async def take(store: Shelf, instance: str, var: Path, own: Own, generation: int) -> Own:
    """Puts a new claim. Raises :class:`Superseded` when somebody else was quicker."""
    # Written down first: whoever dies in between, or hears no answer, knows its own claim again.
    again = own.tried == generation and own.boot == boot()
    nonce = own.nonce if again else secrets.token_hex(16)
    wanted = replace(own, nonce=nonce, tried=generation, boot=boot())
    wanted.save(var)
    host, at = socket.gethostname(), utc_now().isoformat(timespec="seconds")
    claim = Claim(generation, own.installation, wanted.nonce, wanted.boot, host, at)
    try:
        await store.put(_key(instance, generation), json.dumps(asdict(claim)).encode(), only_new=True)
    except ObjectExists:
        there = await _read(store, _key(instance, generation))
        if there.nonce != wanted.nonce:
            raise _lost(var, own, instance, there) from None
    held = replace(wanted, generation=generation)
    held.save(var)
    await alive(store, instance, held)
    return held


async def check(store: Shelf, instance: str, var: Path, own: Own) -> None:
    """Says that the holder lives. Raises :class:`Superseded` when there is a newer claim."""
    # In this order: who takes over puts a claim first, and then looks whether the holder lives. One sees the other.
    await alive(store, instance, own)
    if (newer := await numbered(store, instance, own.generation + 1)) is not None:
        raise _lost(var, own, instance, newer)


async def alive(store: Shelf, instance: str, own: Own, *, released: bool = False) -> None:
    """A sign of life; the last one says that its holder has stopped."""
    await store.put(f"{_key(instance, own.generation)}.alive", json.dumps({"released": released}).encode())


async def acting(store: Shelf, instance: str, claim: Claim) -> bool:
    """Whether that claim's holder may still act: it lives on another run of a machine, as far as anybody knows."""
    age = None if claim.boot == boot() else await _silent_for(store, instance, claim)
    return age is not None and age < LEASE


async def _silent_for(store: Shelf, instance: str, claim: Claim) -> timedelta | None:
    """For how long its holder said nothing, by the store's clock; None: it has stopped."""
    key = _key(instance, claim.generation)
    with contextlib.suppress(NoObject):
        if json.loads(await store.get(f"{key}.alive"))["released"]:
            return None
    now = await store.clock()
    # The claim itself was its first sign of life.
    return now - max((one.modified for one in await store.list(key)), default=now)


def _lost(var: Path, own: Own, instance: str, to: Claim) -> Superseded:
    replace(own, lost=to.words()).save(var)
    return superseded(instance, to.words())


def superseded(instance: str, by: str) -> Superseded:
    return Superseded(
        f"instance {instance!r} is another control plane's now: {by}; this one has stopped acting for it",
        remedy=f"Go on there; remove what is here with ccx down --instance {instance}, and do not start it again",
    )


async def _read(store: Shelf, key: str) -> Claim:
    data: dict[str, Any] = json.loads(await store.get(key))
    return Claim(**data)


def _key(instance: str, generation: int) -> str:
    return f"{claims_prefix(instance)}{generation:08d}"
