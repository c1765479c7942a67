"""How the program starts that makes a node a member of its group: what it is called with, and on which data."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from agent.ccx_agent import galera_start
from agent.ccx_agent.galera_rules import NOTHING

AGENT = Path(__file__).parents[2] / "agent"
HISTORY = "804db302-eb6a-11f1-a7a0-3b09b2ee4fe8"
SAYS = {
    "mariadb": f"2026-11-29 11:22:33 0 [Note] WSREP: Recovered position: {HISTORY}:57",
    "mysql": f"2026-11-29T11:22:33.123456Z 0 [Note] [MY-000000] [WSREP] Recovered position: {HISTORY}:57",
}


class Node:
    """A node's folders, and in the server's place a program that notes what it is called with."""

    def __init__(self, folder: Path, speech: str, says: str = "") -> None:
        self.folder, self.data, self.logs = folder, folder / "data", folder / "binlog"
        self.logs.mkdir()
        server = folder / "server"
        server.write_text(f"""#!/bin/sh
for one in "$@"; do echo "$one" >> {folder}/called; done
for one in "$@"; do case $one in
  --init-file=*) cp "${{one#*=}}" {folder}/users ;;
  --datadir=*) mkdir "${{one#*=}}" ;;
esac; done
echo '{says}' >&2
""")
        server.chmod(0o755)
        self.told: dict[str, Any] = {
            "label": "n2g1", "speech": speech, "server": str(server), "server_file": "/etc/ccx/mysql/my.cnf",
            "data": str(self.data), "binlogs": str(self.logs), "errant": str(folder / "errant"), "port": 1,
            "nodes": {"n1g1": "192.0.2.1", "n2g1": "192.0.2.2", "n3g1": "192.0.2.3"}, "joining": True,
            "copy": [] if speech == "mysql" else ["a-copy"], "socket": str(folder / "s"),
            **{name: str(folder / name) for name in ("view_file", "waiting_file", "progress_file")},
        }  # fmt: skip

    @property
    def called(self) -> list[str]:
        return (self.folder / "called").read_text().split()

    def becomes(self, statement: str) -> str:
        """Runs it in a process of its own, which the server takes the place of; what it says."""
        program = f"""
import json, sys
from pathlib import Path
sys.path.insert(0, {str(AGENT)!r})
from ccx_agent import galera_start
from ccx_agent.galera_rules import Position
told = json.loads(sys.stdin.read())
waiting = Path(told["waiting_file"])
{statement}
"""
        done = subprocess.run(
            [sys.executable, "-I", "-c", program], input=json.dumps(self.told), text=True, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        return done.stdout


@pytest.mark.parametrize("speech", ["mariadb", "mysql"])
def test_a_server_that_crashed_is_asked_how_far_its_data_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, speech: str
) -> None:
    monkeypatch.syspath_prepend(AGENT)
    node = Node(tmp_path, speech, SAYS[speech])
    node.data.mkdir()
    (node.data / "ibdata1").touch()
    galera_start._write_grastate(node.data, HISTORY, -1, safe=False)
    found = galera_start._position(node.told)
    assert (found.history, found.seqno) == (HISTORY, 57)
    quiet = {"mariadb": "--disable-log-error", "mysql": "--log-error-verbosity=3"}[speech]
    assert {"--wsrep-recover", quiet} <= set(node.called)
    assert len({"--disable-log-error", "--log-error-verbosity=3"} & set(node.called)) == 1


def test_data_that_belong_to_no_group_are_worth_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(AGENT)
    node = Node(tmp_path, "mysql", SAYS["mysql"])
    node.data.mkdir()
    (node.data / "ibdata1").touch()
    assert not galera_start._position(node.told).known, "a copy that was broken off may look like a history"
    galera_start._write_grastate(node.data, NOTHING, -1, safe=False)
    assert not galera_start._position(node.told).known


def test_the_first_member_of_xtradb_cluster_makes_its_data_in_which_nobody_has_a_password(tmp_path: Path) -> None:
    node = Node(tmp_path, "mysql")
    node.becomes("galera_start._bootstrap(told, Position(), waiting)")
    assert node.data.is_dir()
    made, began = node.called[: node.called.index("--wsrep-new-cluster")], node.called[-1]
    assert {"--initialize-insecure", "--pxc-encrypt-cluster-traffic=OFF"} <= set(made)
    assert began == "--wsrep-new-cluster"
    users = (tmp_path / "users").read_text()
    assert "auth_socket" in users
    assert "identified" not in users


GROUP = {label: {"serves": True, "leader": "n1g1", "history": HISTORY, "committed": 60} for label in ("n1g1", "n3g1")}


def test_who_joins_xtradb_cluster_has_galera_copy_a_member_that_takes_no_writes_onto_nothing(tmp_path: Path) -> None:
    node = Node(tmp_path, "mysql")
    node.data.mkdir()
    (node.data / "ibdata1").write_text("of another history")
    (node.logs / "binlog.000004").write_text("its own")
    said = node.becomes(f"galera_start._join(told, Position(), {GROUP!r}, None, waiting)")
    assert "no copy of" not in said, "no keeper is asked for one"
    assert list(node.data.iterdir()) == []
    assert (tmp_path / "errant/binlog.000004").read_text() == "its own"
    assert "--wsrep-sst-donor=n3g1" in node.called, "not the one that takes the writes"
    assert "--wsrep-cluster-address=gcomm://192.0.2.1,192.0.2.3" in node.called
    assert not any(option.startswith("--wsrep-start-position") for option in node.called)


def test_who_only_missed_something_keeps_its_data_and_is_sent_the_rest(tmp_path: Path) -> None:
    node = Node(tmp_path, "mysql")
    node.data.mkdir()
    (node.data / "ibdata1").write_text("its own")
    node.becomes(f"galera_start._join(told, Position({HISTORY!r}, 57), {GROUP!r}, None, waiting)")
    assert (node.data / "ibdata1").read_text() == "its own"
    assert f"--wsrep-start-position={HISTORY}:57" in node.called
