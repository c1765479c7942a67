"""Files of a real MySQL's log, read as the server's own program reads them: with tags of transactions and without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.ccx_agent.mysql_gtid import GtidSet
from tests.mariadb_rig import CanNotBeHad, MySqlRig, programs

pytestmark = pytest.mark.slow

_SHOWN = re.compile(r"original_commit_timestamp=(\d+)|SET @@SESSION\.GTID_NEXT= '([0-9a-f-]{36}:[^']+)'")


@pytest.fixture(scope="module")
def rig() -> Iterator[MySqlRig]:
    """A server whose log ends a file after each kind of transaction."""
    try:
        with programs(MySqlRig.image) as root, MySqlRig.new(root, "log") as one:
            one.sql("create database shop; create table shop.kept (n int auto_increment primary key)")
            one.sql("insert into shop.kept values (); flush binary logs; insert into shop.kept values (), ()")
            tagged = "set gtid_next = 'automatic:nightly'; insert into shop.kept values ();"
            one.sql(f"{tagged} insert into shop.kept values (); flush binary logs; {tagged}")
            one.sql("insert into shop.kept values (); flush binary logs")
            yield one
    except CanNotBeHad as error:
        pytest.skip(f"NOT RUN: no MySQL to stand in for Percona Server: {error}")


def shown(rig: MySqlRig, file: Path) -> list[tuple[str, float]]:
    """Transactions and when they were committed, by ``mysqlbinlog``."""
    words = rig.run("mysqlbinlog", "--no-defaults", f"/srv/{rig.name}/binlog/{file.name}")
    found, at = [], 0.0
    for time, gtid in _SHOWN.findall(words):
        if time:
            at = int(time) / 1e6
        else:
            found.append((gtid, at))
    return found


def test_each_file_has_the_transactions_that_the_servers_own_program_shows(rig: MySqlRig) -> None:
    log, number = rig.log(), 0
    for file in rig.logs():
        assert log.head(file) == number
        found = list(log.transactions(file, number))
        assert [(one.gtid, one.time) for one in found] == shown(rig, file)
        assert [one.number for one in found] == list(range(number + 1, number + 1 + len(found)))
        number = log.ends_with(file)
    position = rig.position()
    assert number == rig.number(position) > 6
    assert any(name.endswith(":nightly") for name in GtidSet.parse(position).spans)


def test_no_file_is_begun_in_the_middle_of_a_history(rig: MySqlRig) -> None:
    """What the server has no log of any more counts as before."""
    files, last = rig.logs(), rig.number(rig.position())
    heads = rig.heads()
    rig.sql(f"purge binary logs to '{files[-1].name}'")
    assert rig.logs() == files[-1:]
    assert rig.heads() == heads[-1:] == [last]
