"""A copy that MySQL makes of itself: exactly up to where it goes, and that one which is broken off leaves nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.mariadb_rig import CanNotBeHad, MySqlRig, programs

pytestmark = pytest.mark.slow

_ACT = """
import json, sys
sys.path.insert(0, "/usr/lib/ccx-agent")
from pathlib import Path
from ccx_agent.mysql_clone import Clone
what, told, work = sys.argv[1], json.loads(sys.argv[2]), Path(sys.argv[3])
tool = Clone()
if what == "begin":
    work.mkdir()
    tool.begin(told, 0, work, lambda done: None)
    print(json.dumps(tool.notes(work)))
else:
    tool.forget(told, work)
"""
_COPYING = "select count(*) from information_schema.processlist where info like 'clone local data directory%'"


@pytest.fixture(scope="module")
def rig() -> Iterator[MySqlRig]:
    try:
        with programs(MySqlRig.image) as root, MySqlRig.new(root, "clone") as one:
            one.sql("create database shop; create table shop.kept (n int primary key, r text)")
            one.sql(f"insert into shop.kept select n, repeat('x', 1000) from ({one.numbers(100_000)}) as s")
            yield one
    except CanNotBeHad as error:
        pytest.skip(f"NOT RUN: no MySQL to stand in for Percona Server: {error}")


def command(rig: MySqlRig, what: str) -> list[str]:
    words = (what, json.dumps(rig.told()), f"/srv/{rig.name}/work/copy-one")
    return rig.command("python3", "-I", "-c", _ACT, *words)


def test_one_that_is_broken_off_is_taken_back_by_the_server_too_and_the_next_says_where_it_ends(rig: MySqlRig) -> None:
    work = rig.home / "work" / "copy-one"
    making = subprocess.Popen(command(rig, "begin"))
    until = time.monotonic() + 30
    while not (work / "clone").exists():
        assert making.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    making.kill()
    making.wait()
    subprocess.run(command(rig, "forget"), check=True)
    assert not work.exists()
    assert rig.sql(_COPYING) == "0"

    done = subprocess.run(command(rig, "begin"), check=True, capture_output=True, text=True)
    made = json.loads(done.stdout)
    assert made["gtid"] == rig.position()
    assert made["version"] == rig.sql("select @@version")
    subprocess.run(command(rig, "forget"), check=True)
    assert not work.exists()
