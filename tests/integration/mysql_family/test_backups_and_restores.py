"""Backups for real: a server, its log shipped, copies of it, a store, every row compared."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.mysql_family.writing import SHOP, Writer, rows
from tests.mariadb_rig import Rig, in_thread
from tests.seaweedfs import SeaweedFs, seaweedfs

from ccx.storage.s3 import S3

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def past(kind: type[Rig], root: Path, weed: SeaweedFs) -> Iterator[dict[str, Any]]:
    """A server's history: a full backup and two incremental ones under a writer, then a dropped table."""
    with kind.new(root, "a", f"a-{kind.__name__.lower()}", weed) as rig:
        rig.sql(
            f"{SHOP}; create table orders (n int primary key, what text, much double);"
            " create table blobs (n int primary key, b blob); create table ballast (n int primary key, r text);"
            " insert into ballast select n, concat(sha2(rand(), 512), sha2(rand(), 512)) from"
            f" ({rig.numbers(60000)}) as s"
        )
    # What a copy takes of the log since the last checkpoint is to be little: it was ended, so a checkpoint is made.
    with rig.running(), rig.shipping():
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


@pytest.mark.parametrize("which", [0, 1, 2])
def test_every_row_is_back_as_it_was_before_the_drop_from_each_backup(past: dict[str, Any], which: int) -> None:
    backup = past["made"][which]["id"]
    with past["rig"].copy(f"drop{which}", backup=backup, before=past["dropped"]) as rig:
        assert rows(rig) == past["before"]["rows"]
        assert rig.restored_to() == past["before"]["gtid"]


def test_a_transaction_is_the_last_one_that_is_there(past: dict[str, Any]) -> None:
    backup = past["made"][2]["id"]
    with past["rig"].copy("through", backup=backup, through=past["middle"]["gtid"]) as rig:
        assert rows(rig) == past["middle"]["rows"]


def test_a_transaction_that_never_was_and_one_that_is_not_there_yet_are_named(past: dict[str, Any]) -> None:
    for name, (gtid, words) in past["rig"].never(past["dropped"]).items():
        with pytest.raises(subprocess.CalledProcessError) as refused:
            past["rig"].restored(name, backup=past["made"][2]["id"], before=gtid)
        assert words in refused.value.stderr, refused.value.stderr


def test_a_transaction_is_found_by_its_number(past: dict[str, Any]) -> None:
    rig: Rig = past["rig"]
    number = rig.number(past["position"])
    assert rig.transaction(number) == rig.last(past["position"])
    assert rig.transaction(number + 1000) == ""


def test_a_time_ends_what_is_there(past: dict[str, Any]) -> None:
    with past["rig"].copy("time", backup=past["made"][0]["id"], to=past["middle"]["time"] + 1) as rig:
        assert rows(rig) == past["middle"]["rows"]


def test_without_an_end_all_of_the_log_is_replayed_and_the_history_goes_on_from_there(past: dict[str, Any]) -> None:
    with past["rig"].copy("latest", backup=past["made"][1]["id"]) as rig:
        assert rows(rig) == past["end"]
        rig.sql("use shop; insert into blobs values (-1, 'of the new history')")
        assert rig.number(rig.position()) == rig.number(past["position"]) + 1
        assert rig.last(rig.position()) != rig.last(past["position"])


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
    manifest = f"ds/abc/backup/{rig.archive}/{third['id']}/manifest.json.bin"
    log = sorted(one.key for one in await store.list(f"ds/abc/archive/{rig.archive}/"))
    kept = {key: await store.get(key) for key in (*data, log[-1], manifest)}
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
            await in_thread(rig.restored, "damaged", backup=(third if rig.increments else first)["id"])
        assert f"the backup {first['id']} is damaged" in refused.value.stderr
        await store.put(manifest, kept[manifest][:40] + b"X" + kept[manifest][41:])
        found = await in_thread(rig.verify, "manifest")
        wrong = f"{third['id']}/manifest.json can't be decrypted: it is not what was stored"
        assert (found["damaged"][third["id"]], set(found["checked"])) == (wrong, {one["id"] for one in past["made"]})
        assert await in_thread(rig.back_up, "first", "full") == first, "the others are found as before"
        with pytest.raises(subprocess.CalledProcessError) as refused:
            await in_thread(rig.restored, "unread", backup=third["id"])
        assert wrong in refused.value.stderr
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
    store = S3(weed.location, weed.keys)

    async def kept(folder: str) -> list[str]:
        return [one.key for one in await store.list(f"ds/abc/{folder}/{rig.archive}/")]

    with kind.new(root, "b", f"xyz-{kind.__name__.lower()}", weed) as rig, rig.shipping():
        rig.sql(f"{SHOP}; insert into kept values (1)")
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
        await store.close()
        copy = await in_thread(rig.restored, "c", backup=made[2]["id"])
        with copy.running():
            assert rows(copy) == {"kept": [(1,), (2,), (3,), (4,)]}
