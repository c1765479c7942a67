"""The control plane's own copy in the store: whole, sealed, caught up with, and no more of it than is needed."""

from __future__ import annotations

import os
import time
from pathlib import Path
from uuid import uuid4

import pytest
from tests.integration.recovery.plane import Plane, rows_in, settings_for
from tests.seaweedfs import SeaweedFs

from ccx.recovery import claim, copy, rebuild
from ccx.recovery.claim import Own
from ccx.recovery.database import SLOT
from ccx.recovery.places import Series, instance_prefix
from ccx.storage.base import NoBucket, NoObject, ObjectExists, Unreachable, WrongKeys
from ccx.storage.opened import open_shelf

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives folders to the user that PostgreSQL runs as")


async def test_everything_committed_before_the_last_step_comes_back(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.execute("create table kept (n int)")
    copied = plane.copy()
    await copied.step(b"configuration")
    await plane.execute("insert into kept select generate_series(1, 50000)")
    await copied.step(b"configuration")
    # Another process of the same control plane goes on where that one ended.
    await plane.execute("insert into kept values (50001)")
    later = plane.copy()
    await later.step(b"changed configuration")
    await plane.execute("insert into kept values (50002)")

    back = await plane.rebuilt(tmp_path / "new")

    assert later.base == copied.base
    assert back.configuration == b"changed configuration"
    assert rows_in(tmp_path / "new" / "data", plane) == list(range(1, 50002))


async def test_what_is_in_the_store_shows_nothing_without_the_key(plane: Plane) -> None:
    await plane.execute("create table kept as select 'a very plain secret' as n")
    await plane.copy().step(b"x")

    for one in await plane.store.list(instance_prefix(plane.name)):
        assert b"a very plain secret" not in await plane.store.get(one.key)


@pytest.mark.slow
async def test_a_log_that_the_database_gave_up_makes_the_copy_begin_anew(plane: Plane) -> None:
    copied = plane.copy()
    await copied.step(b"")
    before = copied.base
    with plane.server.connect() as connection:
        connection.execute("select pg_drop_replication_slot(%s)", (SLOT,))
    await plane.execute("create table kept (n int)")

    copied = plane.copy()
    await copied.step(b"")

    assert copied.base is not None
    assert before is not None
    assert copied.base.start > before.start


@pytest.mark.slow
async def test_a_store_that_is_away_stops_nothing_and_is_caught_up_with(
    plane: Plane, weed: SeaweedFs, tmp_path: Path
) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.execute("create table kept (n int)")
    copied = plane.copy()
    await copied.step(b"")

    await weed.kill()
    try:
        await plane.execute("insert into kept values (1)")
        with pytest.raises(Unreachable, match="does not answer"):
            await copied.step(b"")
        with pytest.raises(Unreachable):  # nobody takes a claim that nobody can see
            await plane.rebuilt(tmp_path / "silent")
        assert not (tmp_path / "silent" / "data").exists()
    finally:
        await weed.start()
    await copied.step(b"")

    await plane.rebuilt(tmp_path / "new")
    assert rows_in(tmp_path / "new" / "data", plane) == [1]


async def test_who_was_overtaken_and_does_not_know_it_removes_nothing_of_its_successor(plane: Plane) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    half = Series(plane.name, 2).part("20990101T000000Z", 0)
    await plane.store.put(half, b"of a base that is being made")

    await plane.copy(1).step(b"")

    assert await plane.store.get(half) == b"of a base that is being made"


@pytest.mark.slow
async def test_the_last_two_bases_stay_with_their_log(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    monkeypatch.setattr(copy, "LOG_PER_BASE", 0)  # each step makes a base
    labels = iter(f"2026010{day}T000000Z" for day in range(1, 9))

    class Numbered:
        @staticmethod
        def strftime(_: str) -> str:
            return next(labels)

    await plane.execute("create table kept (n int)")
    for n in range(4):
        await plane.execute(f"insert into kept values ({n})")
        with monkeypatch.context() as patched:
            patched.setattr(copy, "utc_now", lambda: Numbered)
            copied = plane.copy()
            copied._due = lambda at: True  # type: ignore[method-assign]
            await copied.step(b"")

    series = Series(plane.name, 1)
    left = [one.key for one in await plane.store.list(series.bases)]
    assert {key.split("/")[4] for key in left} == {"20260103T000000Z", "20260104T000000Z"}
    assert copied.base is not None
    # The newest is lost, in whichever way: the one before it serves, with all of the log.
    newest = series.manifest("20260104T000000Z")
    whole = await plane.store.get(newest)
    await plane.store.put(newest, b"damaged")
    assert (await rebuild.find(plane.store, plane.name, plane.ring)).base.label == "20260103T000000Z"
    await plane.store.put(newest, whole)
    assert (await rebuild.find(plane.store, plane.name, plane.ring)).base.label == "20260104T000000Z"
    await plane.store.delete(series.part("20260104T000000Z", 0))
    assert (await rebuild.find(plane.store, plane.name, plane.ring)).base.label == "20260103T000000Z"
    await plane.store.delete(newest)
    await plane.rebuilt(tmp_path / "new")
    assert rows_in(tmp_path / "new" / "data", plane) == [0, 1, 2, 3]


async def test_the_light_store_does_what_the_other_one_does(plane: Plane) -> None:
    store, key = plane.store, f"light/{uuid4()}"
    await store.put(key, b"one", only_new=True)

    with pytest.raises(ObjectExists):
        await store.put(key, b"two", only_new=True)
    assert await store.get(key) == b"one"
    assert [(one.key, one.size) for one in await store.list("light/")] == [(key, 3)]
    await store.delete(key)
    await store.delete(key)
    with pytest.raises(NoObject):
        await store.get(key)
    assert abs((await store.clock()).timestamp() - time.time()) < 60


async def test_the_light_store_names_what_refuses_it(weed: SeaweedFs, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, weed)
    (tmp_path / "keys").write_text("TESTADMIN\nwrong\n")
    wrong = open_shelf(settings.clouds[0], settings)
    with pytest.raises(WrongKeys, match="s3_credentials"):
        await wrong.list("x")
    await wrong.close()

    settings = settings_for(tmp_path, weed, s3_bucket="nowhere")
    nowhere = open_shelf(settings.clouds[0], settings)
    with pytest.raises(NoBucket, match="no bucket 'nowhere'"):
        await nowhere.put("x", b"x")
    await nowhere.close()
