"""Kernels are read, what they tell is kept, and nodes with other rules than they should have get a job."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, select, text
from tests.integration.rest.conftest import eventually

from ccx.cmon import egress
from ccx.cmon.node_channel import NodeUnreachable
from ccx.cmon.spec import NodeSpec
from ccx.db import utc_now
from ccx.ids import new_short_id
from ccx.network.observer import KEPT_S
from ccx.runner.services import Services
from ccx.state import observing
from ccx.stores.models import Datastore, Node, NodeStatus, Observed, Status

ADDRESSES = ("10.0.1.21", "10.0.1.22")
LOADED = json.dumps({"nftables": [{"table": {"family": "inet", "name": "ccx_egress", "handle": 1}}]})


def listing(*ports: int, chain: str = "tried") -> str:
    concat = ["system.slice/x.service", 0, "10.0.1.99", "tcp"]
    elements = [
        {"elem": {"val": {"concat": [*concat, port]}, "expires": KEPT_S - 1, "counter": {"packets": 1, "bytes": 60}}}
        for port in ports
    ]
    return json.dumps({"nftables": [{"set": {"name": f"{chain}_unit_ip", "elem": elements}}]})


class Nodes:
    """Answers as the agent does."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None

    async def call(self, node: NodeSpec, verb: str, args: Any = None, **_: Any) -> dict[str, Any]:
        if self.meanwhile is not None:
            await self.meanwhile()
        answer = self.answers.get(node.label)
        if verb != "egress-observed" or answer is None:
            raise NodeUnreachable(f"{node.label} can't be reached")
        told: dict[str, Any] = answer
        return told

    async def close(self) -> None: ...


@pytest.fixture
def heard() -> Nodes:
    return Nodes()


@pytest.fixture
def seeing(services: Services, heard: Nodes) -> Services:
    return replace(services, channel=heard)


@pytest.fixture
async def pair(services: Services) -> AsyncIterator[Datastore]:
    """A datastore of two nodes, n1g1 and n2g1."""
    short = new_short_id()
    owner = {"owner_type": "user", "owner_id": uuid4()}
    async with services.sessions.begin() as tx:
        datastore = Datastore(
            **owner, short_id=short, name=short, vendor="postgres", version="17", cluster_type="postgres_streaming",
            size=2, cloud="north", region="osl", instance_size="small", volume_type="ssd", volume_size=10,
            status=Status.STARTED,
        )  # fmt: skip
        tx.add(datastore)
        await tx.flush()
        for index, address in enumerate(ADDRESSES, 1):
            tx.add(
                Node(
                    **owner, datastore_id=datastore.id, index=index, status=NodeStatus.ACTIVE,
                    server=f"{short}-{index}",
                    volume=f"{short}-{index}", hostname=f"n{index}g1.{short}.example", address=address,
                    host_key="ssh-ed25519 AAAA", phoned_home_at=utc_now(),
                )
            )  # fmt: skip
    yield datastore
    async with services.sessions.begin() as tx:
        await tx.execute(delete(Node).where(Node.datastore_id == datastore.id))
        await tx.execute(delete(Datastore).where(Datastore.id == datastore.id))


def told(services: Services, number: int, *ports: int, rules: str | None = None) -> dict[str, Any]:
    """What node ``number`` answers; its rules are those that it should have, unless others are given."""
    peers = [address for index, address in enumerate(ADDRESSES, 1) if index != number]
    wanted = egress.digest(egress.rules(services.settings, "postgres", "17", peers))
    return {
        "tried": listing(*ports), "passed": listing(chain="passed"), "allowed": LOADED, "users": {"0": "root"},
        "rules": wanted if rules is None else rules,
    }  # fmt: skip


async def jobs_of(services: Services, datastore: Datastore) -> list[str]:
    async with services.sessions() as tx:
        rows = await tx.execute(text("select kind from jobs.job where key = :key"), {"key": str(datastore.id)})
        return [kind for (kind,) in rows]


async def kept(services: Services, datastore: Datastore) -> set[tuple[int, int]]:
    async with services.sessions() as tx:
        ids = [str(i) for i in await tx.scalars(select(Node.id).where(Node.datastore_id == datastore.id))]
        rows = await tx.scalars(select(Observed).where(Observed.source.in_(ids)))
        return {(row.port, row.refused) for row in rows}


async def test_a_node_that_tells_nonsense_or_nothing_hides_nobody_else(
    seeing: Services, heard: Nodes, pair: Datastore
) -> None:
    heard.answers["n1g1"] = told(seeing, 1, 80, 81)
    for nonsense in ({"tried": "[]"}, {**told(seeing, 2), "users": 7}, {**told(seeing, 2), "tried": None}, None):
        heard.answers["n2g1"] = nonsense
        blind = {one.source for one in await observing.read(seeing)}
        assert len(blind) == 2  # the control plane too: nobody shows its kernel here
        assert await kept(seeing, pair) == {(80, 1), (81, 1)}
    assert await jobs_of(seeing, pair) == []


async def test_nodes_with_the_rules_of_now_are_left_alone_and_others_get_one_job(
    seeing: Services, heard: Nodes, pair: Datastore
) -> None:
    heard.answers = {"n1g1": told(seeing, 1), "n2g1": told(seeing, 2)}
    await observing.read(seeing)
    assert await jobs_of(seeing, pair) == []
    for stale in ("", "0" * 64):
        heard.answers["n2g1"] = told(seeing, 2, rules=stale)
        await observing.read(seeing)
        assert await jobs_of(seeing, pair) == ["apply_egress"]


async def test_a_node_whose_kernel_has_lost_its_rules_gets_them_again(
    seeing: Services, heard: Nodes, pair: Datastore
) -> None:
    heard.answers = {"n1g1": told(seeing, 1), "n2g1": {**told(seeing, 2), "allowed": ""}}
    await observing.read(seeing)
    assert await jobs_of(seeing, pair) == ["apply_egress"]


async def test_no_transaction_is_open_while_nodes_are_asked_and_readings_follow_one_another(
    seeing: Services, heard: Nodes, pair: Datastore
) -> None:
    heard.answers = {"n1g1": told(seeing, 1, 80), "n2g1": told(seeing, 2, 81)}
    asking = 0

    async def nobody_is_in_a_transaction() -> bool:
        idle = "select 1 from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'"
        async with seeing.sessions() as tx:
            return not await tx.scalar(text(idle))

    async def look() -> None:
        nonlocal asking
        asking += 1
        await eventually(nobody_is_in_a_transaction, within=5)
        assert asking <= 2, "two readings at once, of two nodes each"
        asking -= 1

    heard.meanwhile = look
    await asyncio.gather(observing.read(seeing), observing.read(seeing))
    assert await kept(seeing, pair) == {(80, 1), (81, 1)}
