"""The control plane's own copy, for real: a PostgreSQL, a SeaweedFS, and the database that comes back from them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest
import yaml
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.postgres_server import PostgresServer, running_server
from tests.seaweedfs import SeaweedFs, seaweedfs

from ccx.db import make_engine
from ccx.embedded import recover
from ccx.errors import Conflict, Invalid, NotFound
from ccx.recovery import claim, copy, rebuild
from ccx.recovery.claim import Held, Own, Superseded
from ccx.recovery.copy import Copy
from ccx.recovery.database import SLOT, Database
from ccx.recovery.keeper import Keeper
from ccx.recovery.places import ROLE, Series, instance_prefix
from ccx.recovery.sealing import Damaged
from ccx.secrets import KeyRing
from ccx.settings import CloudConfig, Paths, Region, Settings
from ccx.storage.base import NoBucket, NoObject, ObjectExists, Unreachable, WrongKeys
from ccx.storage.light import Shelf
from ccx.storage.opened import open_shelf

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="gives folders to the user that PostgreSQL runs as")


@pytest.fixture(scope="module")
async def weed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeaweedFs]:
    async with seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One of its own: what is copied is a whole server."""
    with running_server(max_wal_size="64MB") as running:
        with running.connect() as connection:
            connection.execute(f"create role {ROLE} login replication")
        yield running


@dataclass
class Plane:
    """A control plane's parts that matter here."""

    settings: Settings
    engine: AsyncEngine
    server: PostgresServer
    ring: KeyRing
    store: Shelf

    @property
    def name(self) -> str:
        return self.settings.instance

    @property
    def var(self) -> Path:
        return self.settings.paths.var

    def copy(self, generation: int = 1) -> Copy:
        database = Database(self.settings, self.engine, self.server.bin)
        return Copy(self.store, database, self.ring, Series(self.name, generation), 18)

    async def execute(self, statement: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(statement))

    async def rebuilt(self, folder: Path) -> rebuild.Rebuilt:
        """As ``ccx recover`` does on a new machine whose state is ``folder``."""
        folder.mkdir(exist_ok=True)
        said: list[str] = []
        return await rebuild.rebuild(self.store, self.name, self.ring, folder, folder / "data", said.append)


def settings_for(folder: Path, weed: SeaweedFs, **cloud: object) -> Settings:
    keys = folder / "keys"
    keys.write_text(f"{weed.keys.access_key}\n{weed.keys.secret_key}\n")
    keys.chmod(0o600)
    run = folder / "run"
    values = {
        "code": "local", "type": "local", "name": "Local", "regions": (Region(code="l", name="l"),),
        "instance_types": (), "volume_types": (), "s3_endpoint": weed.location.endpoint, "s3_bucket": "backups",
        "s3_ca": weed.ca, "s3_credentials": keys,
    }  # fmt: skip
    return Settings(
        instance=f"i{uuid4().hex[:8]}",
        paths=Paths(etc=folder / "etc", var=folder / "var", run=run),
        dsn=f"postgresql+psycopg://ccx@/ccx?host={run / 'postgresql'}",
        clouds=(CloudConfig.model_validate({**values, **cloud}),),
    )


@asynccontextmanager
async def plane_of(server: PostgresServer, weed: SeaweedFs, folder: Path) -> AsyncIterator[Plane]:
    settings = settings_for(folder, weed)
    (settings.paths.var / "postgresql").mkdir(parents=True)
    (settings.paths.var / "postgresql" / "data").symlink_to(server.home / "data")
    settings.paths.run.mkdir()
    (settings.paths.run / "postgresql").symlink_to(server.home)
    with server.connect() as connection:
        connection.execute("drop database if exists ccx with (force)")
        connection.execute("create database ccx")
        connection.execute("select pg_drop_replication_slot(slot_name) from pg_replication_slots")
    engine, store = make_engine(settings.dsn), open_shelf(settings.clouds[0], settings)
    try:
        yield Plane(settings, engine, server, KeyRing({1: os.urandom(32)}), store)
    finally:
        await engine.dispose()
        await store.close()


@pytest.fixture
async def plane(server: PostgresServer, weed: SeaweedFs, tmp_path: Path) -> AsyncIterator[Plane]:
    async with plane_of(server, weed, tmp_path) as found:
        yield found


def other_machine(plane: Plane, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State of its own, and a run of the machine of its own."""
    folder.mkdir()
    monkeypatch.setattr(claim, "boot", lambda: f"boot of {folder.name}")
    return folder


def rows_in(data: Path, plane: Plane) -> list[int]:
    """What a PostgreSQL finds that is started on these files."""
    home = data.parent
    user = plane.server.user
    for path in (home, *home.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    for path in (data, *data.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    for parent in home.parents:
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(parent.stat().st_mode | 0o011)
    back = PostgresServer(plane.server.bin, home, user)
    back.start()
    try:
        with back.connect("ccx") as connection:
            return [row[0] for row in connection.execute("select n from kept order by n").fetchall()]
    finally:
        back.stop()


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
    # The newest is lost: the one before it serves, with all of the log.
    await plane.store.delete(series.manifest("20260104T000000Z"))
    await plane.rebuilt(tmp_path / "new")
    assert rows_in(tmp_path / "new" / "data", plane) == [0, 1, 2, 3]


async def test_a_damaged_object_is_named_and_nothing_looks_like_a_database(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")
    part = next(one.key for one in await plane.store.list(Series(plane.name, 1).bases) if one.key.endswith("000000"))
    await plane.store.put(part, (await plane.store.get(part))[:-1] + b"?")

    with pytest.raises(Damaged, match=part):
        await plane.rebuilt(tmp_path / "new")

    assert not (tmp_path / "new" / "data").exists()


async def test_a_wrong_wrapping_key_and_a_missing_copy_are_named_before_anything_changes(
    plane: Plane, tmp_path: Path
) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    with pytest.raises(NotFound, match="no complete copy of instance"):
        await plane.rebuilt(tmp_path / "new")
    await plane.copy().step(b"")
    plane.ring = KeyRing({1: os.urandom(32)})

    with pytest.raises(Invalid, match="does not open the copy"):
        await plane.rebuilt(tmp_path / "new")

    assert (await claim.newest(plane.store, plane.name)).generation == own.generation  # type: ignore[union-attr]


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


@pytest.mark.slow
async def test_a_recovery_that_was_broken_off_keeps_its_claim(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")

    first = await plane.rebuilt(tmp_path / "new")
    again = await plane.rebuilt(tmp_path / "new")

    assert again.own == first.own
    assert again.own.recovered


async def test_a_control_plane_that_goes_on_is_not_recovered_beside(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"")
    monkeypatch.setattr(claim, "boot", lambda: "another machine's")
    monkeypatch.setattr(rebuild, "_GIVES_UP_WITHIN_S", 0.5)
    await claim.alive(plane.store, plane.name, own)

    with pytest.raises(Conflict, match="goes on"):
        await plane.rebuilt(tmp_path / "new")


async def test_a_settings_file_says_where_a_store_elsewhere_is(plane: Plane, tmp_path: Path) -> None:
    await claim.settle(plane.store, plane.name, plane.var, Own.load(plane.var))
    await plane.copy().step(b"configuration")
    cloud = plane.settings.clouds[0].model_dump(mode="json")
    file = tmp_path / "ccx.yaml"
    file.write_text(yaml.safe_dump({"clouds": [cloud]}))

    store = recover.named(plane.name, file)
    try:
        found = await rebuild.find(store, plane.name, plane.ring)
        with pytest.raises(NotFound, match=f"There is something of: .*{plane.name}"):
            await rebuild.find(store, "nobodys", plane.ring)
    finally:
        await store.close()

    assert found.base.generation == 1
    file.write_text(yaml.safe_dump({"clouds": [{**cloud, "s3_endpoint": ""}]}))
    with pytest.raises(Invalid, match="names no object store"):
        recover.named(plane.name, file)


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
