"""How a keeper asks etcd: it has no more time than its lease leaves it."""

from __future__ import annotations

import socket
import ssl
from contextlib import ExitStack

import pytest
from agent.ccx_agent.keeper_etcd import Etcd, EtcdSilent


@pytest.mark.parametrize(("members", "asked"), [(1, 1), (3, 2), (5, 3)])
def test_no_more_members_are_waited_for_than_make_a_majority_and_the_others_are_asked_next(
    members: int, asked: int
) -> None:
    """A leader that is cut off has to notice it before its lease ends. One of so many serves, or none can."""
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(members)]
        urls = [f"https://127.0.0.1:{one.getsockname()[1]}" for one in silent]
        etcd = Etcd(list(urls), ssl.create_default_context(), 0.05)
        with pytest.raises(EtcdSilent):
            etcd.everything("/ccx/abc/")
        for one in silent:
            one.setblocking(False)
        waited = [_waits(one) for one in silent]
        assert waited == [True] * asked + [False] * (members - asked)
        with pytest.raises(EtcdSilent):
            etcd.everything("/ccx/abc/")
        assert all(_waits(one) for one in silent[asked:])


def _waits(listening: socket.socket) -> bool:
    try:
        listening.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_node_asks_its_own_member_first_whoever_was_before_it() -> None:
    """Those of nodes that were replaced since never answer, and would take all the time there is."""
    urls = [f"https://10.0.0.{n}:2379" for n in (1, 2, 33, 3)]
    asked = Etcd.of({"etcd": urls, "address": "10.0.0.3"}, ssl.create_default_context(), 1)
    assert asked._urls == [urls[3], *urls[:3]]
    assert urls[0] == "https://10.0.0.1:2379", "what is told stays as it is"


def test_who_was_replaced_is_asked_no_more_and_who_came_is_asked_last() -> None:
    etcd = Etcd([f"https://10.0.0.{n}:2379" for n in (3, 1, 2)], ssl.create_default_context(), 1)
    etcd.know(["10.0.0.2", "10.0.0.3", "fd00::4"])
    assert etcd._urls == ["https://10.0.0.3:2379", "https://10.0.0.2:2379", "https://[fd00::4]:2379"]
    etcd.know([])
    assert len(etcd._urls) == 3, "a cluster whose members nobody has named yet"
