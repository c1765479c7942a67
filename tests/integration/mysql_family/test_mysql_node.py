"""What the agent does with a real MySQL's data: makes them, tells what is errant, and keeps that and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.mariadb_rig import CanNotBeHad, programs
from tests.unit.cluster_specs import cluster

from ccx.cmon.engines.mysql_family.passwords import caching_sha2_verifier
from ccx.cmon.engines.mysql_family.percona import config

pytestmark = pytest.mark.slow

# A node's own server, by its real configuration but for what needs the rest of a node; driven as its keeper drives it.
_DRIVER = """
import json, subprocess, sys, time
from pathlib import Path
sys.path.insert(0, "/usr/lib/ccx-agent")
from ccx_agent import mysql_prepare, mysql_seed
from ccx_agent.keeper_rules import Term
from ccx_agent.mysql_gtid import GtidSet, in_term
from ccx_agent.mysql_server import DatabaseServer

told, verifier = json.loads(Path("/srv/told.json").read_text()), sys.argv[1]
Path("/srv/keeper.json").write_text(json.dumps(told))
assert mysql_prepare.main("/srv/keeper.json") == 0
running = subprocess.Popen([told["server"], f"--defaults-file={told['server_file']}"], cwd="/")
server = DatabaseServer(told)
while not server.look().server.running:
    assert running.poll() is None
    time.sleep(0.1)
found = {"first": server.look().server.__dict__, "shown": server.look().shown}
server.promote(lambda: True, semi_sync=False)
server.ask("create database everybodys", 20)
server.ask(f"create user clerk@'%' identified with caching_sha2_password as '{verifier}'", 20)
look = server.look().server
# As if another had begun a term when it had the first transaction.
first = GtidSet.parse(f"{look.origin}:1")
term = Term(2, "n2g1", 1, history=str(first), origin="00000000-0000-0000-0000-000000000002")
judged = in_term(look, term)
found |= {"open": look.__dict__, "judged": judged.__dict__}
found["users"] = server.ask("select user, authentication_string as kept from mysql.user where user = 'clerk'")
server.hold()
found["held"] = server.look().server.writable
server.rebuild(judged.errant, behind=False)
running.wait()
mark = Path(told["rebuild_file"])
mysql_seed.give_up(told, ["mysqlbinlog", "--verbose", *mysql_prepare._only_errant(mark)])
found["kept"] = [path.read_text() for path in Path(told["errant"]).glob("*.sql")]
found["left"] = sorted(path.name for path in Path(told["binlogs"]).iterdir()) + [Path(told["data"]).exists()]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    try:
        with programs("baked-mysql") as found:
            yield found
    except CanNotBeHad as error:
        pytest.skip(f"NOT RUN: no MySQL to stand in for Percona Server: {error}")


@pytest.fixture(scope="module")
def found(root: Path) -> dict[str, Any]:
    spec = cluster("n1g1")
    settings = config.server_text(spec, spec.nodes[0])
    elsewhere = {
        "datadir": "/srv/data", "socket": "/srv/run/s", "pid_file": "/srv/run/pid", "bind_address": "127.0.0.1",
        "log_bin": "/srv/binlog/binlog", "relay_log": "/srv/binlog/relay", "skip_networking": "ON",
    }  # fmt: skip
    kept = [
        line
        for line in settings.splitlines()
        if line.split(" ")[0] not in {*elsewhere, "ssl_ca", "ssl_cert", "ssl_key"}
    ]
    (root / "srv/my.cnf").write_text("\n".join([*kept, *(f"{k} = {v}" for k, v in elsewhere.items()), ""]))
    told = {
        "data": "/srv/data", "socket": "/srv/run/s", "pid_file": "/srv/run/pid", "binlogs": "/srv/binlog",
        "errant": "/srv/errant", "rebuild_file": "/srv/rebuild", "copied_file": "/srv/copied", "joining": False,
        "server": "/usr/sbin/mysqld", "server_file": "/srv/my.cnf", "progress_file": "/srv/run/copied-bytes",
        "replication": {"user": "ccx_replication", "password": "it's a \\ secret"},
    }  # fmt: skip
    (root / "srv/told.json").write_text(json.dumps(told))
    (root / "srv/drive.py").write_text(_DRIVER)
    for folder in ("run", "binlog"):
        (root / "srv" / folder).mkdir()
    subprocess.run(["chroot", root, "chown", "-R", "mysql:mysql", "/srv"], check=True)
    verifier = caching_sha2_verifier("a pass'word")
    done = subprocess.run(
        ["chroot", "--userspec=mysql:mysql", root, "python3", "-I", "/srv/drive.py", verifier],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**answer, "verifier": verifier}


def test_a_new_server_has_no_history_is_read_only_and_follows_nobody(found: dict[str, Any]) -> None:
    first = found["first"]
    assert (first["writable"], first["received"], first["history"], first["source"]) == (False, 0, "", "")
    assert found["shown"]["version"].startswith("9.7")


def test_what_it_writes_counts_once_it_leads_and_nobody_writes_when_it_is_held(found: dict[str, Any]) -> None:
    assert (found["open"]["writable"], found["open"]["received"], found["open"]["applied"]) == (True, 2, 2)
    assert found["held"] is False


def test_a_password_is_kept_as_the_control_plane_computed_it(found: dict[str, Any]) -> None:
    assert found["users"] == [{"user": "clerk", "kept": found["verifier"]}]


def test_what_another_primarys_history_has_not_is_kept_apart_and_nothing_else(found: dict[str, Any]) -> None:
    origin = found["open"]["origin"]
    assert (found["judged"]["errant"], found["judged"]["received"]) == (f"{origin}:2", 1)
    (kept,) = found["kept"]
    assert "clerk" in kept
    assert "everybodys" not in kept
    assert found["left"] == [False], "its log and its data are given up"
