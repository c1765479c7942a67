"""The log as it is sent to the store: what is in it, what is missing, and who says so."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tests.integration.mysql_family.writing import SHOP, Writer, rows, until
from tests.mariadb_rig import Rig, in_thread
from tests.seaweedfs import SeaweedFs

from ccx.storage.s3 import S3

pytestmark = pytest.mark.slow


def test_each_file_ends_with_what_the_next_one_begins_behind(kind: type[Rig], root: Path, weed: SeaweedFs) -> None:
    """Written under a writer: of what was being committed when a file ended, nothing is missing between the two."""
    with kind.new(root, "files", store=weed) as rig:
        rig.sql(f"{SHOP}; create table orders (n int primary key, what text, much double)")
        rig.sql("use shop; create table blobs (n int primary key, b blob)")
        writer = Writer(rig)
        writer.start()
        for _ in range(5):
            writer.more(50)
            rig.sql("flush local binary logs")
        writer.stop()
        heads = rig.heads()
        assert len(set(heads)) > 3
        assert rig.ends()[:-1] == heads[1:]


def test_what_a_server_wrote_last_is_in_the_store_when_it_has_ended(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    with kind.new(root, "d", f"end-{kind.__name__.lower()}", weed) as rig, rig.shipping():
        rig.sql(f"{SHOP}; insert into kept values (1)")
        made = rig.back_up("one", "full")
        rig.archive_up_to(rig.position())
        rig.sql("flush local binary logs; insert into shop.kept values (2)")
        rig.sql("flush local binary logs; insert into shop.kept values (3)")
    last = rig.ship_rest()["stored"]
    assert rig.ship_rest()["stored"] == last  # once more: nothing is left to do
    with rig.copy("e", backup=made["id"]) as copy:
        assert rows(copy) == {"kept": [(1,), (2,), (3,)]}
        assert copy.number(copy.restored_to()) == last


@pytest.mark.parametrize("there", [10, 19, 30])
def test_a_log_that_breaks_off_where_the_power_went_is_replayed_to_its_last_whole_transaction(
    kind: type[Rig], root: Path, weed: SeaweedFs, there: int
) -> None:
    """``there``: so many bytes were written of the next one, which nobody was told of."""
    name = f"cut{there}"
    with kind.new(root, name, f"{name}-{kind.__name__.lower()}", weed) as rig, rig.shipping():
        rig.sql(SHOP)
        made = rig.back_up("one", "full")
        rig.sql("insert into shop.kept values (1)")
        file = rig.logs()[-1]
        (*_, last) = rig.transactions(file)
        rig.kill()
    with file.open("r+b") as log:
        log.seek(last.offset)
        begun = log.read(there)
        log.seek(0, os.SEEK_END)
        log.write(begun)
    with rig.running(), rig.shipping():
        rig.sql("insert into shop.kept values (2)")
        rig.archive_up_to(rig.position())
    with rig.copy(f"{name}-back", backup=made["id"]) as copy:
        assert rows(copy) == {"kept": [(1,), (2,)]}


def test_what_a_term_wrote_that_stored_nothing_is_a_gap_to_who_was_made_anew_behind_it(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    """The first primary's tail was lost; in place of that the second one wrote, without the store; the third one's
    data are a copy of its, and its log has the rest only."""
    with kind.new(root, "terms", f"terms-{kind.__name__.lower()}", weed) as first, first.shipping():
        first.sql(SHOP)
        made = first.back_up("old", "full")
        for n in (1, 2, 3):
            first.sql(f"insert into shop.kept values ({n})")
        first.archive_up_to(first.position())
    with first.copy("anew", backup=made["id"], at_once=True) as third:
        third.sql("insert into shop.kept values (101)")
        third.sql("insert into shop.kept values (102)")
        third.forget_log()
        copied = third.position()
        assert third.heads() == [third.number(copied)]
        third.sql("insert into shop.kept values (103)")
        third.sql("insert into shop.kept values (104)")
        last = third.position()
        newer = third.back_up("new", "full")
    third.led(3, third.number(last), copied)
    assert third.ship_rest()["stored"] == third.number(last)
    assert "binlog." in (third.home / "work" / "given-up").read_text(), "a full backup is to make up for it"
    for how in ({}, {"to": time.time() + 60}):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            first.restored(f"across{len(how)}", backup=made["id"], **how)
        assert "the log has a gap behind" in refused.value.stderr
    with first.copy("behind", backup=newer["id"]) as whole:
        assert rows(whole) == {"kept": [(101,), (102,), (103,), (104,)]}


def test_the_log_of_a_copy_begins_behind_what_the_copy_had(kind: type[Rig], root: Path, weed: SeaweedFs) -> None:
    with kind.new(root, "copied", store=weed) as rig:
        rig.copied_up_to(200)
        assert rig.heads() == [200]


def test_a_log_that_writes_hold_is_said_to_wait_and_is_sent_when_they_are_let_go(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    with kind.new(root, "held", f"held-{kind.__name__.lower()}", weed) as rig, rig.shipping():
        rig.sql(SHOP)
        rig.archive_up_to(rig.position())
        on = rig.semi_sync
        rig.sql("insert into shop.kept values (-1)")  # what is committed already shall be stored
        rig.sql(f"set global {on}_timeout = 1000000000, global {on}_enabled = on")
        writing = [subprocess.Popen(rig.command(*rig.asking(f"insert into shop.kept values ({n})"))) for n in range(3)]
        until(lambda: rig.sql(f"show status like '{on}_wait_sessions'").split()[1] != "0")
        (rig.home / "work" / "wanted").write_text("1000000")
        until(lambda: "writes wait for a replica" in rig.shipped()["err"])
        said = rig.shipped()["at"]
        until(lambda: rig.shipped()["at"] > said + 2)
        rig.sql(f"set global {on}_enabled = off")
        assert [one.wait(30) for one in writing] == [0, 0, 0]
        until(lambda: rig.shipped()["stored"] == rig.number(rig.position()), within=30)


def test_a_server_that_starts_removes_nothing_of_its_log_that_is_not_stored(
    kind: type[Rig], root: Path, weed: SeaweedFs
) -> None:
    """It does so before anybody reaches it, and what it finds too old may have waited for the store."""
    with kind.new(root, "kept", f"kept-{kind.__name__.lower()}", weed) as rig:
        with rig.shipping() as shipper:
            until(lambda: "at" in rig.shipped())
            shipper.kill()
        rig.sql("create database shop; flush binary logs; create database other; flush binary logs")
        written = len(rig.logs())
        long_ago = time.time() - 9 * 24 * 3600
        for file in rig.logs():
            os.utime(file, (long_ago, long_ago))
    with rig.running():
        assert len(rig.logs()) == written + 1


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
