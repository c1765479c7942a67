"""Whose an instance is: of two control planes that believe they have it, one refuses."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.recovery.plane import Plane, other_machine
from tests.seaweedfs import SeaweedFs

from ccx.recovery import claim
from ccx.recovery.claim import Held, Own, Superseded
from ccx.recovery.keeper import Keeper
from ccx.recovery.places import Series
from ccx.storage.base import StoredObject, Unreachable
from ccx.storage.light import Shelf

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives folders to the user that PostgreSQL runs as")


async def test_a_second_control_plane_of_the_instance_refuses(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))

    # A fresh installation of the same name, and a copy of the first one's disk.
    fresh = other_machine(plane, tmp_path / "fresh", monkeypatch)
    with pytest.raises(Superseded, match="another installation's claim"):
        await claim.settle(plane.store, plane.name, fresh, Own.load(fresh))
    cloned = other_machine(plane, tmp_path / "cloned", monkeypatch)
    with pytest.raises(Held, match="last heard of"):
        await claim.settle(plane.store, plane.name, cloned, own)

    # The first one stops; then the other may go on, and the first one may not come back.
    await claim.alive(plane.store, plane.name, own, released=True)
    taken = await claim.settle(plane.store, plane.name, cloned, own)
    assert taken.generation == own.generation + 1
    with pytest.raises(Superseded, match="another control plane's now"):
        await claim.check(plane.store, plane.name, plane.var, own)
    assert Own.load(plane.var).lost


async def test_a_holder_that_starts_again_is_not_taken_for_one_that_has_stopped(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await claim.alive(plane.store, plane.name, own, released=True)
    again = await claim.settle(plane.store, plane.name, plane.var, own)

    cloned = other_machine(plane, tmp_path / "cloned", monkeypatch)
    with pytest.raises(Held, match="last heard of"):
        await claim.settle(plane.store, plane.name, cloned, again)


async def test_a_copied_disk_neither_acts_beside_the_first_one_nor_speaks_for_it(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when the store was silent for its first look."""

    class Away:
        """Once."""

        told = False

        def __getattr__(self, name: str) -> Any:
            return getattr(plane.store, name)

        async def list(self, prefix: str) -> list[StoredObject]:
            if not self.told:
                self.told = True
                raise Unreachable("the object store does not answer")
            return await plane.store.list(prefix)

        async def close(self) -> None:
            """It is the fixture's."""

    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    cloned = other_machine(plane, tmp_path / "cloned", monkeypatch)
    monkeypatch.setattr(claim, "LEASE", timedelta(seconds=3))
    (cloned / "recovery").mkdir()
    own.save(cloned)
    paths = plane.settings.paths.model_copy(update={"var": cloned})
    settings = plane.settings.model_copy(update={"paths": paths})
    second = Keeper(settings, cast(Shelf, Away()), lambda _: plane.copy(), claim_every=0.1, act_after=2)

    async def lives() -> None:
        while True:
            await claim.alive(plane.store, plane.name, own)
            await asyncio.sleep(0.2)

    living = asyncio.create_task(lives())
    try:
        await second.begin()
        with pytest.raises(Superseded, match="is held by"):
            await second.run()
    finally:
        living.cancel()
    await second.end()

    assert not second.may_act.is_set()
    there = await claim.newest(plane.store, plane.name)
    assert there is not None
    assert there.generation == own.generation
    assert await claim.acting(plane.store, plane.name, there)


async def test_what_lies_damaged_in_the_store_stops_no_role(plane: Plane) -> None:
    (plane.var / "recovery").mkdir()
    (plane.var / "recovery" / "etc.sealed").write_bytes(b"configuration")
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")
    series = Series(plane.name, own.generation)
    (manifest,) = [one.key for one in await plane.store.list(series.bases) if one.key.endswith("/manifest")]
    await plane.store.put(manifest, b"no manifest")
    keeper = Keeper(plane.settings, plane.store, lambda s: plane.copy(s.generation), every=0.1)
    await keeper.begin()
    running = asyncio.create_task(keeper.run())
    try:
        async with asyncio.timeout(20):
            while not keeper.status.failed:
                assert not running.done(), running
                await asyncio.sleep(0.05)
        assert keeper.may_act.is_set()
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_claim_is_known_again_by_who_put_it_and_was_given_up_before_the_answer(plane: Plane) -> None:
    class Slow:
        """Does what it is told, and answers too late."""

        def __getattr__(self, name: str) -> Any:
            return getattr(plane.store, name)

        async def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
            await plane.store.put(key, data, only_new=only_new)
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await claim.settle(cast(Shelf, Slow()), plane.name, plane.var, Own.load(plane.var))
    # It may be held, though its holder has not said yet that it lives.
    put = await claim.newest(plane.store, plane.name)
    assert put is not None
    assert await claim.acting(plane.store, plane.name, replace(put, boot="another machine's"))
    # The store's list may not show it yet.
    assert (await claim.take(plane.store, plane.name, plane.var, Own.load(plane.var), 1)).generation == 1
    assert (await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))).generation == 1


async def test_of_two_that_take_the_same_claim_one_gets_it(plane: Plane, tmp_path: Path) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await claim.take(plane.store, plane.name, plane.var, own, 2)

    with pytest.raises(Superseded):
        await claim.take(plane.store, plane.name, tmp_path, own, 2)


@pytest.mark.slow
async def test_a_keeper_goes_on_while_the_store_is_silent_and_ends_when_the_claim_is_lost(
    plane: Plane, weed: SeaweedFs, tmp_path: Path
) -> None:
    (plane.var / "recovery").mkdir()
    (plane.var / "recovery" / "etc.sealed").write_bytes(b"configuration")
    keeper = Keeper(plane.settings, plane.store, lambda s: plane.copy(s.generation), every=0.2, claim_every=0.2)
    await keeper.begin()
    running = asyncio.create_task(keeper.run())

    async def until(seen: object) -> None:
        async with asyncio.timeout(60):
            while not seen():  # type: ignore[operator]
                assert not running.done(), running
                await asyncio.sleep(0.05)

    await until(lambda: keeper.status.complete)
    await weed.kill()
    try:
        await until(lambda: keeper.status.unheard and keeper.status.failed)
        assert keeper.may_act.is_set()
    finally:
        await weed.start()
    await until(lambda: not keeper.status.unheard and not keeper.status.failed)

    back = await plane.rebuilt(tmp_path / "new")

    async with asyncio.timeout(30):
        with pytest.raises(Superseded):
            await running
    assert back.own.generation == 2
    assert "another control plane's now" in keeper.status.words()
    # It does not start again either, whatever the store says.
    with pytest.raises(Superseded, match="has stopped acting"):
        await Keeper(plane.settings, None, plane.copy).begin()  # type: ignore[arg-type]


@pytest.mark.slow
async def test_a_start_right_after_a_reboot_waits_for_the_lease_of_before(
    plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    monkeypatch.setattr(claim, "boot", lambda: "after the reboot")
    monkeypatch.setattr(claim, "LEASE", timedelta(seconds=3))
    keeper = Keeper(plane.settings, plane.store, lambda s: plane.copy(s.generation))

    began = time.monotonic()
    await keeper.begin()

    assert time.monotonic() - began > 1
    assert keeper.own.generation == own.generation + 1
    assert keeper.may_act.is_set()
