"""Ending a dead node's leadership, with an etcd that is as slow and refusing as one that has just lost its leader."""

from __future__ import annotations

import asyncio

import pytest

from ccx.cmon.etcd import leadership
from ccx.cmon.etcd.client import Etcd, EtcdRefused, EtcdSilent, Held
from ccx.errors import Transient


class Recovering(Etcd):
    """Fails the first calls, as during an election; then does as told. ``behind``: what its quickest member holds."""

    def __init__(self, held: Held | None, failures: int = 0, behind: Held | None = None) -> None:
        self.held = held
        self.behind = behind
        self.failures = failures
        self.revoked: list[str] = []

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise (EtcdRefused("etcdserver: no leader") if self.failures % 2 else EtcdSilent("no answer"))

    async def glance(self, key: str, limit: float = 0.25) -> Held | None:
        return self.behind or await self.read(key)

    async def read(self, key: str, limit: float = 0.25) -> Held | None:
        assert key == "/ccx/abc/leader"
        self._fail()
        return self.held

    async def revoke(self, lease: str, limit: float = 0.25) -> None:
        self._fail()
        self.revoked.append(lease)
        if self.held is not None and self.held.lease == lease:
            self.held = None


async def test_the_dead_leaders_lease_is_revoked_once_an_election_is_over() -> None:
    etcd = Recovering(Held("n1g1", "42"), failures=5)
    assert await leadership.release(etcd, "abc", "n1g1") is True
    assert etcd.revoked == ["42"]


@pytest.mark.parametrize("held", [None, Held("n2g1", "43")])
async def test_somebody_elses_leadership_is_left_alone(held: Held | None) -> None:
    etcd = Recovering(held)
    assert await leadership.release(etcd, "abc", "n1g1") is False
    assert etcd.revoked == []


@pytest.mark.parametrize("leader", ["n2g1", "n1g1"])
async def test_a_member_that_was_cut_off_and_names_a_former_leader_is_not_believed(leader: str) -> None:
    etcd = Recovering(Held("n1g1", "42"), behind=Held(leader, "7"))
    assert await leadership.release(etcd, "abc", "n1g1") is True
    assert etcd.held is None


async def test_repeating_it_changes_nothing() -> None:
    etcd = Recovering(Held("n1g1", "42"))
    assert await leadership.release(etcd, "abc", "n1g1") is True
    assert await leadership.release(etcd, "abc", "n1g1") is False
    assert etcd.revoked == ["42"]


async def test_without_a_survivor_that_answers_it_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leadership, "PATIENCE", 0.2)
    with pytest.raises(Transient, match="n1g1 could not be ended"):
        async with asyncio.timeout(5):
            await leadership.release(Recovering(None, failures=10**6), "abc", "n1g1")
