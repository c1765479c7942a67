"""A keeper's turns: it leads by a lease, ends its server without one, and says what others need to know."""

from __future__ import annotations

import json
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent.ccx_agent import keeper as program
from agent.ccx_agent.keeper import Keeper
from agent.ccx_agent.keeper_etcd import EtcdSilent
from tests.unit.etcd_memory import Memory
from tests.unit.mysql_peer import Table, answering

NODES = {"n1g1": "10.0.0.1", "n2g1": "10.0.0.2", "n3g1": "10.0.0.3"}
LEADER = "/ccx/abc/leader"


class Node:
    """A keeper, its server, and etcd."""

    def __init__(self, folder: Path, label: str, etcd: Memory) -> None:
        told = {
            "label": label, "address": NODES[label], "scope": "abc", "etcd": [], "tls": {}, "binlogs": str(folder),
            "replication": {"user": "ccx_replication", "password": "pass"},
            **{name: str(folder / name) for name in
               ("socket", "pid_file", "progress_file", "errant", "copied_file", "rebuild_file")},
        }  # fmt: skip
        self.keeper, self.etcd, self.said, self.writable = Keeper(told), etcd, list[str](), False
        self.keeper._etcd = etcd
        self.process = subprocess.Popen(["sleep", "60"])
        (folder / "pid_file").write_text(str(self.process.pid))

    def answer(self, statement: str) -> Table:
        self.said.append(statement)
        if statement.startswith("set global read_only"):
            self.writable = statement.endswith("off")
        if statement.startswith("select @@"):
            state = {"read_only": str(int(not self.writable)), "written": "0-1-5", "applied": "", "id": "1"}
            return [{"version": "11.8.9-MariaDB", **state}]
        if statement.startswith("select 1"):
            return [{"n": "1"}]
        if statement.startswith("show global status"):
            return [{"Variable_name": "Rpl_semi_sync_master_clients", "Value": "2"}]
        return []

    def ended(self) -> bool:
        """Whether the server was ended at once."""
        return self.process.poll() is not None or self.process.wait(5) == -9


@pytest.fixture
def etcd() -> Memory:
    found = Memory()
    found.put("/ccx/abc/nodes", json.dumps(NODES))
    return found


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, etcd: Memory) -> Iterator[Node]:
    """The first one."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "agent")
    monkeypatch.setattr("ccx_agent.keeper_web.client_context", lambda _: ssl.create_default_context())
    one = Node(tmp_path, "n1g1", etcd)
    with answering(tmp_path / "socket", one.answer):
        yield one
    one.process.kill()
    one.process.wait()


@pytest.fixture
def leads(node: Node) -> Node:
    for _ in range(3):
        node.keeper.turn()
    assert node.writable
    return node


def test_the_first_stands_accepts_writes_and_says_so(leads: Node) -> None:
    assert leads.keeper.shown["note"] == "accepts writes"
    term = json.loads(leads.etcd.everything("/ccx/abc/")["term"].value)
    assert (term["number"], term["leader"], term["start"]) == (1, "n1g1", 5)
    assert leads.keeper.turn() == program.LEADING
    assert leads.etcd._urls == [f"https://{address}:2379" for address in NODES.values()]


def test_who_lost_the_lease_to_another_ends_its_server(leads: Node) -> None:
    leads.etcd.end(leads.etcd.lease_of(LEADER))
    leads.etcd.put(LEADER, "n2g1")
    leads.keeper.turn()
    assert leads.ended()


def test_a_leader_ends_its_server_before_its_lease_ends_and_not_as_soon_as_etcd_is_silent(leads: Node) -> None:
    leads.etcd.silent = {"/v3/kv/range"}
    with pytest.raises(EtcdSilent):
        leads.keeper.turn()
    leads.keeper._without_etcd("silent")
    assert leads.process.poll() is None
    leads.keeper._led_until = time.monotonic() - 0.1
    leads.keeper._without_etcd("silent")
    assert leads.ended()


def test_what_a_keeper_says_is_said_again_under_a_new_lease_also_when_etcd_fails_in_between(leads: Node) -> None:
    """Of a node that is frozen nobody would hear it otherwise, and nobody could be elected."""
    mine = "/ccx/abc/members/n1g1"
    leads.etcd.end(leads.etcd.lease_of(mine))
    leads.keeper._member_renewed = 0.0
    leads.etcd.silent = {"/v3/kv/put"}
    with pytest.raises(EtcdSilent):
        leads.keeper.turn()
    leads.etcd.silent = set()
    leads.keeper.turn()
    assert leads.etcd.lease_of(mine) in leads.etcd.leases


def test_the_leadership_is_handed_to_a_replica_with_the_server_held_and_to_nobody_else(leads: Node) -> None:
    assert leads.keeper.hand_over("n1g1") == "n1g1 is no replica"
    assert leads.keeper.hand_over("n9g1") == "n9g1 is no replica"
    assert leads.writable
    assert leads.keeper.hand_over("n2g1") == ""
    assert not leads.writable
    assert LEADER not in leads.etcd.kept
    hand = json.loads(leads.etcd.everything("/ccx/abc/")["hand"].value)
    assert (hand["to"], hand["received"]) == ("n2g1", 5), "of two, it may lead only with all of that"
    assert leads.keeper.hand_over("n2g1") == "n1g1 does not lead"


def test_nothing_is_held_for_a_hand_over_when_the_lease_has_ended(leads: Node) -> None:
    leads.etcd.leases.clear()
    assert leads.keeper.hand_over("n2g1") == "n1g1 does not lead any more"
    assert "set global read_only = on" not in leads.said


def test_nobody_else_speaks_to_the_server_while_a_keeper_looks_at_it_without_etcd(
    leads: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who hands over has the same connection: each would read what the other one asked for."""
    looked: list[bool] = []

    def without_etcd(_why: str) -> float:
        looked.append(leads.keeper._lock.locked())
        raise KeyboardInterrupt  # else it turns for ever

    from ccx_agent.keeper_etcd import EtcdSilent as Silent  # type: ignore[import-not-found]

    def silent() -> float:
        raise Silent("no etcd member answers")

    monkeypatch.setattr(leads.keeper, "turn", silent)
    monkeypatch.setattr(leads.keeper, "_without_etcd", without_etcd)
    with pytest.raises(KeyboardInterrupt):
        leads.keeper.run()
    assert looked == [True]
