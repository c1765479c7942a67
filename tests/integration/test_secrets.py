"""The vault on a real database."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from ccx.errors import CcxError, NotFound
from ccx.secrets import KeyRing, Vault

KEYS = KeyRing({1: b"k" * 32})
VAULT = Vault(KEYS)


async def test_values_come_back_by_scope_and_name(database):
    async with database.sessions.begin() as tx:
        await VAULT.put(tx, "datastore:a", "admin", "one")
        await VAULT.put(tx, "datastore:a", "replication", "two")
        await VAULT.put(tx, "datastore:b", "admin", "three")
        await VAULT.put(tx, "datastore:a", "admin", "four")
    async with database.sessions() as tx:
        assert await VAULT.get(tx, "datastore:a", "admin") == "four"
        assert await VAULT.get_all(tx, "datastore:a") == {"admin": "four", "replication": "two"}
        assert await VAULT.get_all(tx, "datastore:none") == {}
        with pytest.raises(NotFound):
            await VAULT.get(tx, "datastore:b", "replication")


async def test_the_database_holds_no_plain_text(database):
    async with database.sessions.begin() as tx:
        await VAULT.put(tx, "plain", "name", "findme-findme")
    async with database.sessions() as tx:
        dump = (await tx.execute(text("select s::text from secrets.secret s where scope = 'plain'"))).scalar_one()
        raw = (await tx.execute(text("select ciphertext from secrets.secret where scope = 'plain'"))).scalar_one()
    assert b"findme" not in bytes(raw)
    assert "findme" not in dump


async def test_callers_side_by_side_agree_on_one_value(database):
    made = []

    async def ask(n: int) -> str:
        async with database.sessions.begin() as tx:
            return await VAULT.put_if_absent(tx, "race", "ca", lambda: made.append(n) or f"value-{n}")

    values = await asyncio.gather(*(ask(n) for n in range(8)))
    assert len(set(values)) == 1
    async with database.sessions() as tx:
        assert await VAULT.get(tx, "race", "ca") == values[0]
        assert await VAULT.put_if_absent(tx, "race", "ca", lambda: pytest.fail("made again")) == values[0]


async def test_a_transaction_rolled_back_stores_nothing(database):
    async with database.sessions() as tx:
        await VAULT.put(tx, "undone", "name", "value")
        await tx.rollback()
    async with database.sessions() as tx:
        assert await VAULT.get_all(tx, "undone") == {}


async def test_a_forgotten_scope_is_gone_and_others_stay(database):
    async with database.sessions.begin() as tx:
        await VAULT.put(tx, "gone", "name", "value")
        await VAULT.put(tx, "stays", "name", "value")
        await VAULT.forget(tx, "gone")
        await VAULT.forget(tx, "gone")
    async with database.sessions() as tx:
        assert await VAULT.get_all(tx, "gone") == {}
        assert await VAULT.get_all(tx, "stays") == {"name": "value"}


async def test_a_value_moved_to_another_name_does_not_open(database):
    async with database.sessions.begin() as tx:
        await VAULT.put(tx, "moved", "from", "value")
        await tx.execute(text("update secrets.secret set name = 'to' where scope = 'moved'"))
    async with database.sessions() as tx:
        with pytest.raises(CcxError, match="does not open"):
            await VAULT.get(tx, "moved", "to")


async def test_after_rewrap_the_old_key_is_not_needed(database):
    rotated = KEYS.rotated()
    async with database.sessions.begin() as tx:
        await tx.execute(text("delete from secrets.secret"))
        for n in range(5):
            await VAULT.put(tx, "rewrap", f"n{n}", f"v{n}")
    async with database.sessions.begin() as tx:
        assert await Vault(rotated).rewrap(tx) == 5
    async with database.sessions.begin() as tx:
        assert await Vault(rotated).rewrap(tx) == 0
        newest_line = rotated.to_lines().splitlines()[-1]
        only_new = Vault(KeyRing.from_lines(newest_line, source="test"))
        assert await only_new.get_all(tx, "rewrap") == {f"n{n}": f"v{n}" for n in range(5)}
