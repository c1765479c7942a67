"""Names of datastores: an owner has each once; one that nobody chose makes way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.conftest import Database

from ccx.errors import Conflict
from ccx.ids import new_id
from ccx.stores import datastores

SHAPE: dict[str, Any] = {
    "vendor": "postgres", "version": "17", "cluster_type": "", "size": 1, "cloud": "north", "region": "osl",
    "instance_size": "small", "volume_type": "ssd", "volume_size": 20,
}  # fmt: skip


async def test_a_name_that_nobody_chose_gets_a_number_while_it_is_taken_also_at_the_same_moment(
    database: Database,
) -> None:
    owner = ("user", new_id())

    async def restored() -> str:
        async with database.sessions.begin() as tx:
            return (await datastores.add_beside(tx, owner, name="orders-20261129-004500", **SHAPE)).name

    names = await asyncio.gather(*(restored() for _ in range(4)))
    assert sorted(names) == [f"orders-20261129-004500{end}" for end in ("", "-2", "-3", "-4")]
    async with database.sessions() as tx:
        found, total = await datastores.of(tx, owner)
    assert (sorted(one.name for one in found), total) == (sorted(names), 4)


async def test_a_name_that_was_chosen_is_refused_while_it_is_taken_and_is_no_end_of_the_transaction(
    database: Database,
) -> None:
    owner = ("user", new_id())
    async with database.sessions.begin() as tx:
        await datastores.add(tx, owner, name="orders", **SHAPE)
        with pytest.raises(Conflict, match="you already have a datastore named 'orders'"):
            await datastores.add(tx, owner, name="orders", **SHAPE)
        await datastores.add(tx, owner, name="invoices", **SHAPE)
    async with database.sessions() as tx:
        assert [one.name for one in (await datastores.of(tx, owner))[0]] == ["orders", "invoices"]
