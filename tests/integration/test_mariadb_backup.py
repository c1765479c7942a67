"""Backups of MariaDB and MySQL for real: a server, its log shipped, copies of it, a store, every row compared."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.mariadb_rig import PASSWORD, CanNotBeHad, MySqlRig, Rig, in_thread, programs
from tests.seaweedfs import SeaweedFs, seaweedfs

from ccx.storage.s3 import S3

pytestmark = pytest.mark.slow

Rows = list[tuple[Any, ...]]


@pytest.fixture(scope="module", params=[Rig, MySqlRig], ids=["mariadb", "mysql"])
def kind(request: pytest.FixtureRequest) -> type[Rig]:
    found: type[Rig] = request.param
    return found


@pytest.fixture(scope="module")
def root(kind: type[Rig]) -> Iterator[Path]:
    try:
        with programs(kind.image) as found:
            yield found
    except CanNotBeHad as error:
        pytest.skip(f"NOT RUN: {error}")


@pytest.fixture(scope="module")
async def weed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeaweedFs]:
    async with seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


class Writer(threading.Thread):
    """Writes all the time: rows of several kinds, changes and removals, in transactions of several statements."""

    def __init__(self, rig: Rig) -> None:
        super().__init__(daemon=True)
        self._rig = rig
        self._end = threading.Event()
        self.written = 0

    def run(self) -> None:
        with self._rig.connect("shop") as connection, connection.cursor() as cursor:
            while not self._end.is_set():
                self.written += 1
                n = self.written
                cursor.execute("begin")
                cursor.execute("insert into orders (n, what, much) values (%s, %s, %s)", (n, f"wört {n} 🐘", n / 7))
                cursor.execute("insert into blobs values (%s, repeat(char(%s), 2000))", (n, n % 256))
                if n % 3 == 0:
                    cursor.execute("update orders set what = concat(what, '!') where n = %s", (n - 1,))
                if n % 5 == 0:
                    cursor.execute("delete from blobs where n = %s", (n - 2,))
                cursor.execute("commit")

    def stop(self) -> None:
        self._end.set()
        self.join()

    def more(self, rows: int) -> None:
        """Returns when so many more were written."""
        until = self.written + rows
        while self.written < until:
            assert self.is_alive()
            time.sleep(0.01)


def rows(rig: Rig) -> dict[str, Rows]:
    """Every row of every table."""
    with rig.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("show tables")
        tables = [name for (name,) in cursor.fetchall()]
        found = {}
        for table in tables:
            cursor.execute(f"select * from {table} order by 1")
            found[table] = list(cursor.fetchall())
        return found


@pytest.fixture(scope="module")
def past(kind: type[Rig], root: Path, weed: SeaweedFs) -> Iterator[dict[str, Any]]:
    """A server's history: a full backup and two incremental ones under a writer, then a dropped table."""
    rig = kind(root, "a", f"a-{kind.__name__.lower()}")
    (root / "srv" / "a").mkdir(parents=True)
    rig.store_keys(weed)
    rig.lay_out()
    rig.initialise()
    server, shipper = rig.start(), rig.ship()
    try:
        rig.sql(
            f"create database shop; create user writer identified by '{PASSWORD}'; grant all on shop.* to writer;"
            " use shop; create table orders (n int primary key, what text, much double);"
            " create table blobs (n int primary key, b blob); create table ballast (n int primary key, r text);"
            " insert into ballast select n, concat(sha2(rand(), 512), sha2(rand(), 512)) from"
            f" ({rig.numbers(60000)}) as s"
        )
        # What a copy takes of the log since the last checkpoint is to be little: so a checkpoint is made.
        server.terminate()
        server.wait(60)
        server = rig.start()
        writer = Writer(rig)
        writer.start()
        writer.more(200)
        made = [rig.back_up("first", "full")]
        writer.more(200)
        made.append(rig.back_up("second", "incremental"))
        writer.more(100)
        made.append(rig.back_up("third", "incremental"))
        writer.more(300)
        writer.stop()
        middle = {"gtid": rig.position(), "rows": rows(rig), "time": time.time()}
        time.sleep(2)
        rig.sql("use shop; insert into orders values (0, 'the last one', 0)")
        before = {"gtid": rig.position(), "rows": rows(rig)}
        rig.sql("use shop; drop table orders")
        dropped = rig.last(rig.position())
        rig.sql("use shop; insert into blobs values (0, 'after it')")
        rig.archive_up_to(rig.position())
        yield {
            "rig": rig, "made": made, "middle": middle, "before": before, "dropped": dropped, "end": rows(rig),
            "position": rig.position(), "weed": weed,
        }  # fmt: skip
    finally:
        for process in (shipper, server):
            process.terminate()
            process.wait(60)


def restored(past: dict[str, Any], name: str, **how: Any) -> tuple[Rig, subprocess.Popen[bytes]]:
    """A second server out of the store, running."""
    rig = type(past["rig"])(past["rig"].root, name, past["rig"].archive)
    rig.home.mkdir()
    rig.lay_out(server_id="20001")
    rig.restore(**how)
    return rig, rig.start()


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_row_is_back_as_it_was_before_the_drop_from_each_backup(past: dict[str, Any], which: int) -> None:
    backup = past["made"][which]
    rig, server = restored(past, f"drop{which}", backup=backup["id"], before=past["dropped"])
    try:
        assert rows(rig) == past["before"]["rows"]
        assert rig.restored_to() == past["before"]["gtid"]
    finally:
        server.terminate()
        server.wait(60)


def test_a_transaction_is_the_last_one_that_is_there(past: dict[str, Any]) -> None:
    rig, server = restored(past, "through", backup=past["made"][2]["id"], through=past["middle"]["gtid"])
    try:
        assert rows(rig) == past["middle"]["rows"]
    finally:
        server.terminate()
        server.wait(60)


def test_a_transaction_that_never_was_and_one_that_is_not_there_yet_are_named(past: dict[str, Any]) -> None:
    for name, (gtid, words) in past["rig"].never(past["dropped"]).items():
        with pytest.raises(subprocess.CalledProcessError) as refused:
            restored(past, name, backup=past["made"][2]["id"], before=gtid)
        assert words in refused.value.stderr, refused.value.stderr


def test_each_file_of_the_log_ends_with_what_the_next_one_begins_behind(past: dict[str, Any]) -> None:
    """Written under a writer: of what was being committed when a file ended, nothing is missing between the two."""
    rig: Rig = past["rig"]
    assert len(heads := rig.heads()) > 3
    assert rig.ends()[:-1] == heads[1:]


def test_a_transaction_is_found_by_its_number(past: dict[str, Any]) -> None:
    rig: Rig = past["rig"]
    number = rig.number(past["position"])
    assert rig.transaction(number) == rig.last(past["position"])
    assert rig.transaction(number + 1000) == ""


def test_a_time_ends_what_is_there(past: dict[str, Any]) -> None:
    rig, server = restored(past, "time", backup=past["made"][0]["id"], to=past["middle"]["time"] + 1)
    try:
        assert rows(rig) == past["middle"]["rows"]
    finally:
        server.terminate()
        server.wait(60)


def test_without_an_end_all_of_the_log_is_replayed_and_the_history_goes_on_from_there(past: dict[str, Any]) -> None:
    rig, server = restored(past, "latest", backup=past["made"][1]["id"])
    try:
        assert rows(rig) == past["end"]
        rig.sql("use shop; insert into blobs values (-1, 'of the new history')")
        assert rig.number(rig.position()) == rig.number(past["position"]) + 1
        assert rig.last(rig.position()) != rig.last(past["position"])
    finally:
        server.terminate()
        server.wait(60)


def test_an_incremental_backup_is_smaller_and_builds_on_the_one_before(past: dict[str, Any]) -> None:
    first, second, third = past["made"]
    if not past["rig"].increments:
        assert [(one["kind"], one["parent"]) for one in past["made"]] == [("full", None)] * 3
        return
    assert [one["kind"] for one in past["made"]] == ["full", "incremental", "incremental"]
    assert (second["parent"], third["parent"]) == (first["id"], second["id"])
    assert second["stored"] < first["stored"] / 2
    assert second["from_lsn"] == first["to_lsn"]


def test_the_same_name_is_the_same_backup(past: dict[str, Any]) -> None:
    assert past["rig"].back_up("second", "full") == past["made"][1]


def test_a_copy_leaves_nothing_on_the_volume(past: dict[str, Any]) -> None:
    assert [path.name for path in (past["rig"].home / "work").iterdir() if "copy" in path.name] == []


async def test_the_store_holds_no_word_of_the_data(past: dict[str, Any], weed: SeaweedFs) -> None:
    store = S3(weed.location, weed.keys)
    try:
        kept = b"".join([await store.get(one.key) for one in await store.list("ds/abc/")])
    finally:
        await store.close()
    assert len(kept) > 10_000
    for word in (b"orders", b"shop", b"GTID", b"sha256", b"xbstream", b"ustar"):
        assert word not in kept


def test_reading_the_store_through_finds_nothing_wrong_with_what_is_whole(past: dict[str, Any]) -> None:
    found = past["rig"].verify("all")
    assert found["checked"] == [one["id"] for one in past["made"]]
    assert (found["damaged"], found["log"], found["until"]) == ({}, {}, {})


async def test_a_damaged_and_a_missing_object_and_a_gap_in_the_log_are_named(
    past: dict[str, Any], weed: SeaweedFs
) -> None:
    first, second, third = past["made"]
    store = S3(weed.location, weed.keys)
    rig: Rig = past["rig"]
    data = [f"ds/abc/backup/{rig.archive}/{one['id']}/{rig.data}.bin" for one in (first, second)]
    log = sorted(one.key for one in await store.list(f"ds/abc/archive/{rig.archive}/"))
    kept = {key: await store.get(key) for key in (*data, log[-1])}
    try:
        await store.put(data[0], kept[data[0]][:5000] + b"X" + kept[data[0]][5001:])
        await store.delete(data[1])
        await store.put(log[-1], kept[log[-1]][:-20])
        found = await in_thread(past["rig"].verify, "damage")
        assert set(found["damaged"]) == {first["id"], second["id"]}
        assert f"{rig.data} can't be decrypted" in found["damaged"][first["id"]]
        assert found["damaged"][second["id"]].endswith("is missing")
        (part,) = found["log"]
        assert part in log[-1]
        assert set(found["until"]) == {first["id"], second["id"], third["id"]}
        with pytest.raises(subprocess.CalledProcessError) as refused:
            await in_thread(restored, past, "damaged", backup=(third if rig.increments else first)["id"])
        assert f"the backup {first['id']} is damaged" in refused.value.stderr
    finally:
        for key, content in kept.items():
            await store.put(key, content)
        await store.close()


async def test_a_backup_whose_store_goes_away_leaves_nothing_that_looks_complete(
    tmp_path: Path, past: dict[str, Any]
) -> None:
    async with seaweedfs(tmp_path / "other") as other:
        rig: Rig = past["rig"]
        before = rig.shipped()
        rig.store_keys(other)
        try:
            making = asyncio.create_task(in_thread(rig.back_up, "broken", "full"))
            while not (rig.home / "work" / "far-broken").exists():
                assert not making.done()
                await asyncio.sleep(0.01)
            await other.kill()
            with pytest.raises(subprocess.CalledProcessError):
                await making
            await other.start()
            assert (await in_thread(rig.back_up, "whole", "full"))["name"] == "whole"
            store = S3(other.location, other.keys)
            try:
                names = [one.key for one in await store.list(f"ds/abc/backup/{rig.archive}/")]
            finally:
                await store.close()
            assert len(names) == 2, names
        finally:
            rig.store_keys(past["weed"])
        assert rig.shipped()["stored"] >= before["stored"]


async def test_the_oldest_chain_goes_with_its_log_and_what_is_kept_is_restored_as_before(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    archive = f"xyz-{kind.__name__.lower()}"
    rig = kind(root, "b", archive)
    rig.home.mkdir()
    rig.store_keys(weed)
    rig.lay_out()
    await in_thread(rig.initialise)
    server, shipper = await in_thread(rig.start), rig.ship()
    store = S3(weed.location, weed.keys)

    async def kept(folder: str) -> list[str]:
        return [one.key for one in await store.list(f"ds/abc/{folder}/{archive}/")]

    try:
        rig.sql(
            f"create database shop; create user writer identified by '{PASSWORD}'; grant all on shop.* to writer;"
            " create table shop.kept (n int primary key); insert into shop.kept values (1)"
        )
        made = [await in_thread(rig.back_up, "one", "full"), await in_thread(rig.back_up, "two", "incremental")]
        for n in (2, 3):
            rig.sql(f"insert into shop.kept values ({n})")
            await in_thread(rig.archive_up_to, rig.position())
        made.append(await in_thread(rig.back_up, "three", "full"))
        rig.sql("insert into shop.kept values (4)")
        await in_thread(rig.archive_up_to, rig.position())
        log = await kept("archive")
        with pytest.raises(subprocess.CalledProcessError):  # the second one builds on it, or is not the oldest
            await in_thread(rig.expire, made[0 if rig.increments else 1]["id"])
        assert len(await kept("backup")) == 6
        await in_thread(rig.expire, made[0]["id"], made[1]["id"])
        assert {key.split("/")[-2] for key in await kept("backup")} == {made[2]["id"]}
        assert 0 < len(await kept("archive")) < len(log)
        copy = kind(root, "c", archive)
        copy.home.mkdir()
        copy.lay_out(server_id="20001")
        await in_thread(copy.restore, backup=made[2]["id"])
        restored_server = await in_thread(copy.start)
        try:
            assert rows(copy) == {"kept": [(1,), (2,), (3,), (4,)]}
        finally:
            restored_server.terminate()
            restored_server.wait(60)
    finally:
        await store.close()
        for process in (shipper, server):
            process.terminate()
            process.wait(60)


async def test_what_a_server_wrote_last_is_in_the_store_when_it_has_ended(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    archive = f"end-{kind.__name__.lower()}"
    rig = kind(root, "d", archive)
    rig.home.mkdir()
    rig.store_keys(weed)
    rig.lay_out()
    await in_thread(rig.initialise)
    server, shipper = await in_thread(rig.start), rig.ship()
    try:
        rig.sql(
            f"create database shop; create user writer identified by '{PASSWORD}'; grant all on shop.* to writer;"
            " create table shop.kept (n int primary key); insert into shop.kept values (1)"
        )
        made = await in_thread(rig.back_up, "one", "full")
        await in_thread(rig.archive_up_to, rig.position())
        rig.sql("flush local binary logs; insert into shop.kept values (2)")
        rig.sql("flush local binary logs; insert into shop.kept values (3)")
    finally:
        for process in (shipper, server):
            process.terminate()
            process.wait(60)
    last = (await in_thread(rig.ship_rest))["stored"]
    assert (await in_thread(rig.ship_rest))["stored"] == last  # once more: nothing is left to do
    copy = kind(root, "e", archive)
    copy.home.mkdir()
    copy.lay_out(server_id="20001")
    await in_thread(copy.restore, backup=made["id"])
    restored_server = await in_thread(copy.start)
    try:
        assert rows(copy) == {"kept": [(1,), (2,), (3,)]}
        assert copy.number(copy.restored_to()) == last
    finally:
        restored_server.terminate()
        restored_server.wait(60)


def test_what_a_term_wrote_that_stored_nothing_is_a_gap_to_who_was_made_anew_behind_it(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    """The first primary's tail was lost; in place of that the second one wrote, without the store; the third one's
    data are a copy of its, and its log has the rest only."""
    with server_of_its_own(kind, root, weed, "terms") as first:
        shipper = first.ship()
        try:
            first.sql(
                f"create database shop; create user writer identified by '{PASSWORD}'; grant all on shop.* to writer;"
                " create table shop.kept (n int primary key)"
            )
            made = first.back_up("old", "full")
            for n in (1, 2, 3):
                first.sql(f"insert into shop.kept values ({n})")
            first.archive_up_to(first.position())
        finally:
            shipper.terminate()
            shipper.wait(60)
    third = kind(root, "anew", first.archive)
    third.home.mkdir()
    third.lay_out(server_id="30001")
    third.restore(backup=made["id"], at_once=True)
    server = third.start()
    try:
        third.sql("insert into shop.kept values (101)")
        third.sql("insert into shop.kept values (102)")
        third.forget_log()
        copied = third.position()
        assert third.heads() == [third.number(copied)]
        third.sql("insert into shop.kept values (103)")
        third.sql("insert into shop.kept values (104)")
        last = third.position()
        newer = third.back_up("new", "full")
    finally:
        server.terminate()
        server.wait(60)
    third.led(3, third.number(last), copied)
    assert third.ship_rest()["stored"] == third.number(last)
    assert "binlog." in (third.home / "work" / "given-up").read_text(), "a full backup is to make up for it"
    for how in ({}, {"to": time.time() + 60}):
        again = kind(root, f"across{len(how)}", first.archive)
        again.home.mkdir()
        again.lay_out(server_id="40001")
        with pytest.raises(subprocess.CalledProcessError) as refused:
            again.restore(backup=made["id"], **how)
        assert "the log has a gap behind" in refused.value.stderr
    whole = kind(root, "behind", first.archive)
    whole.home.mkdir()
    whole.lay_out(server_id="40001")
    whole.restore(backup=newer["id"])
    server = whole.start()
    try:
        assert rows(whole) == {"kept": [(101,), (102,), (103,), (104,)]}
    finally:
        server.terminate()
        server.wait(60)


@contextmanager
def server_of_its_own(kind: type[Rig], root: Path, weed: SeaweedFs, name: str) -> Iterator[Rig]:
    """A new one that runs, with an archive of its own."""
    rig = kind(root, name, f"{name}-{kind.__name__.lower()}")
    rig.home.mkdir()
    rig.store_keys(weed)
    rig.lay_out()
    rig.initialise()
    server = rig.start()
    try:
        yield rig
    finally:
        server.terminate()
        server.wait(60)


def test_the_log_of_a_copy_begins_behind_what_the_copy_had(kind: type[Rig], root: Path, weed: SeaweedFs) -> None:
    with server_of_its_own(kind, root, weed, "copied") as rig:
        rig.copied_up_to(200)
        assert rig.heads() == [200]


def test_a_log_that_writes_hold_is_said_to_wait_and_is_sent_when_they_are_let_go(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    with server_of_its_own(kind, root, weed, "held") as rig:
        shipper = rig.ship()
        try:
            rig.sql("create database shop; create table shop.kept (n int primary key)")
            rig.archive_up_to(rig.position())
            on = rig.semi_sync
            rig.sql("insert into shop.kept values (-1)")  # what is committed already shall be stored
            rig.sql(f"set global {on}_timeout = 1000000000, global {on}_enabled = on")
            writing = [
                subprocess.Popen(rig.command(*rig.asking(f"insert into shop.kept values ({n})"))) for n in range(3)
            ]
            until(lambda: rig.sql(f"show status like '{on}_wait_sessions'").split()[1] != "0")
            (rig.home / "work" / "wanted").write_text("1000000")
            until(lambda: "writes wait for a replica" in rig.shipped()["err"])
            said = rig.shipped()["at"]
            until(lambda: rig.shipped()["at"] > said + 2)
            rig.sql(f"set global {on}_enabled = off")
            assert [one.wait(30) for one in writing] == [0, 0, 0]
            until(lambda: rig.shipped()["stored"] == rig.number(rig.position()), within=30)
        finally:
            shipper.terminate()
            shipper.wait(60)


def test_a_server_that_starts_removes_nothing_of_its_log_that_is_not_stored(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    """It does so before anybody reaches it, and what it finds too old may have waited for the store."""
    with server_of_its_own(kind, root, weed, "kept") as rig:
        shipper = rig.ship()
        until(lambda: "at" in rig.shipped())
        shipper.kill()
        shipper.wait(60)
        rig.sql("create database shop; flush binary logs; create database other; flush binary logs")
        written = len(rig.logs())
        long_ago = time.time() - 9 * 24 * 3600
        for file in rig.logs():
            os.utime(file, (long_ago, long_ago))
        rig.sql("shutdown")
        until(lambda: not (rig.home / "run" / "pid").exists())
        again = rig.start()
        try:
            assert len(rig.logs()) == written + 1
        finally:
            again.terminate()
            again.wait(60)


_KILLED = """
import json, os, signal, sys, time
sys.path.insert(0, "/usr/lib/ccx-agent")
from ccx_agent.mariadb_store import Store
upload = Store(json.loads(sys.argv[1])).upload("archive/killed/part", 1)
upload.stdin.write(b"1" * int(sys.argv[2]))
upload.stdin.flush()
time.sleep(float(sys.argv[3]))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("sent", "after"), [(0, 0.0), (1000, 0.0), (1000, 0.5), (3 << 20, 0.5)])
async def test_what_was_sent_by_a_sender_that_is_killed_is_not_stored_for_the_whole(
    kind: type[Rig], root: Path, weed: SeaweedFs, sent: int, after: float
) -> None:
    """Its name says what all of it has: nobody would send it again."""
    rig = kind(root, "killed")
    rig.store_keys(weed)
    words = rig.command("python3", "-I", "-c", _KILLED, json.dumps(rig.told()), str(sent), str(after))
    assert (await in_thread(subprocess.run, words, check=False)).returncode == -signal.SIGKILL
    await asyncio.sleep(2)  # in which it would have arrived
    store = S3(weed.location, weed.keys)
    try:
        assert await store.list("ds/abc/archive/killed/") == []
    finally:
        await store.close()


def until(condition: Callable[[], bool], within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
