"""What every object store has to prove. A test module subclasses :class:`StoreConformance` and gives the store."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from ccx.storage.access import IamAccess
from ccx.storage.base import NoObject, NotAllowed, ObjectExists, WrongKeys
from ccx.storage.s3 import S3

MIB = 2**20


@dataclass(frozen=True)
class StoreUnderTest:
    store: S3
    access: IamAccess
    real: bool = True
    """An emulator keeps policies without obeying them, and has no clock."""

    def as_somebody(self, keys: object) -> S3:
        return S3(self.store.location, keys, patience=5)  # type: ignore[arg-type]


async def parts(*data: bytes) -> AsyncIterator[bytes]:
    for part in data:
        yield part


class StoreConformance:
    """The duties of :class:`ccx.storage.base.ObjectStore` and :class:`ccx.storage.base.Access`."""

    @pytest.fixture
    def prefix(self) -> str:
        return f"{secrets.token_hex(6)}/"

    async def test_what_was_put_comes_back_whole_and_in_ranges(self, under_test: StoreUnderTest, prefix: str) -> None:
        data = secrets.token_bytes(MIB)
        await under_test.store.put(f"{prefix}a", data)

        assert await under_test.store.get(f"{prefix}a") == data
        assert await under_test.store.get(f"{prefix}a", start=1000, length=10) == data[1000:1010]
        assert await under_test.store.get(f"{prefix}a", start=MIB - 3) == data[-3:]

    async def test_an_object_is_replaced_unless_only_a_new_one_is_wanted(
        self, under_test: StoreUnderTest, prefix: str
    ) -> None:
        await under_test.store.put(f"{prefix}a", b"1")
        await under_test.store.put(f"{prefix}a", b"2")
        with pytest.raises(ObjectExists):
            await under_test.store.put(f"{prefix}a", b"3", only_new=True)
        await under_test.store.put(f"{prefix}b", b"3", only_new=True)

        assert await under_test.store.get(f"{prefix}a") == b"2"
        assert await under_test.store.get(f"{prefix}b") == b"3"

    async def test_of_two_who_put_a_new_object_one_is_told_that_it_exists(
        self, under_test: StoreUnderTest, prefix: str
    ) -> None:
        first = await asyncio.gather(
            *(under_test.store.put(f"{prefix}a", bytes([n]), only_new=True) for n in range(4)), return_exceptions=True
        )

        assert [type(one) for one in first if one is not None] == [ObjectExists] * 3

    async def test_a_list_has_what_begins_with_the_prefix_by_key(self, under_test: StoreUnderTest, prefix: str) -> None:
        for key in ("b", "a/2", "a/1"):
            await under_test.store.put(f"{prefix}{key}", key.encode() * 3)

        found = await under_test.store.list(prefix)
        assert [(o.key, o.size) for o in found] == [(f"{prefix}{k}", len(k) * 3) for k in ("a/1", "a/2", "b")]
        assert [o.key for o in await under_test.store.list(f"{prefix}a/")] == [f"{prefix}a/1", f"{prefix}a/2"]
        assert await under_test.store.list(f"{prefix}none") == []

    async def test_a_deleted_object_is_gone_and_deleting_it_again_succeeds(
        self, under_test: StoreUnderTest, prefix: str
    ) -> None:
        await under_test.store.put(f"{prefix}a", b"1")
        await under_test.store.delete(f"{prefix}a")
        await under_test.store.delete(f"{prefix}a")

        with pytest.raises(NoObject):
            await under_test.store.get(f"{prefix}a")

    async def test_an_upload_in_parts_is_one_object(self, under_test: StoreUnderTest, prefix: str) -> None:
        data = secrets.token_bytes(5 * MIB), secrets.token_bytes(5 * MIB), b"end"
        await under_test.store.upload(f"{prefix}a", parts(*data))

        assert await under_test.store.get(f"{prefix}a") == b"".join(data)

    async def test_of_an_upload_that_is_broken_off_nothing_is_seen(
        self, under_test: StoreUnderTest, prefix: str
    ) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield secrets.token_bytes(5 * MIB)
            raise RuntimeError("the node died")

        with pytest.raises(RuntimeError, match="the node died"):
            await under_test.store.upload(f"{prefix}a", broken())

        assert await under_test.store.list(prefix) == []

    async def test_its_clock_is_ours(self, under_test: StoreUnderTest) -> None:
        if not under_test.real:
            pytest.skip("it has no clock")
        assert abs((await under_test.store.clock() - datetime.now(UTC)).total_seconds()) < 5

    async def test_a_datastores_keys_open_its_own_prefix_and_nothing_else(
        self, under_test: StoreUnderTest, prefix: str
    ) -> None:
        if not under_test.real:
            pytest.skip("it does not obey policies")
        name = f"ccx-{prefix.strip('/')}"
        await under_test.store.put(f"{prefix}beside", b"1")
        await under_test.store.put(f"{prefix}own2/x", b"1")  # begins alike
        theirs = under_test.as_somebody(await under_test.access.grant(name, f"{prefix}own/"))

        await theirs.put(f"{prefix}own/a", b"1")
        await theirs.upload(f"{prefix}own/b", parts(secrets.token_bytes(5 * MIB), b"end"))
        assert [o.key for o in await theirs.list(f"{prefix}own/")] == [f"{prefix}own/a", f"{prefix}own/b"]
        await theirs.delete(f"{prefix}own/a")
        for refused in (
            theirs.get(f"{prefix}beside"), theirs.get(f"{prefix}own2/x"), theirs.put(f"{prefix}beside", b"2"),
            theirs.delete(f"{prefix}beside"), theirs.list(prefix), theirs.list(""),
        ):  # fmt: skip
            with pytest.raises(NotAllowed):
                await refused
        assert await under_test.store.get(f"{prefix}beside") == b"1"
        await under_test.access.revoke(name)
        await theirs.close()

    async def test_keys_to_read_change_nothing(self, under_test: StoreUnderTest, prefix: str) -> None:
        if not under_test.real:
            pytest.skip("it does not obey policies")
        name = f"ccx-{prefix.strip('/')}"
        await under_test.store.put(f"{prefix}own/a", b"1")
        theirs = under_test.as_somebody(await under_test.access.grant(name, f"{prefix}own/", read_only=True))

        assert await theirs.get(f"{prefix}own/a") == b"1"
        assert [o.key for o in await theirs.list(f"{prefix}own/")] == [f"{prefix}own/a"]
        for refused in (theirs.put(f"{prefix}own/a", b"2"), theirs.delete(f"{prefix}own/a")):
            with pytest.raises(NotAllowed):
                await refused
        await under_test.access.revoke(name)
        await theirs.close()

    async def test_new_keys_end_the_earlier_ones_and_revoked_ones_open_nothing(
        self, under_test: StoreUnderTest, prefix: str
    ) -> None:
        name = f"ccx-{prefix.strip('/')}"
        first = await under_test.access.grant(name, prefix)
        second = await under_test.access.grant(name, prefix)
        assert first.access_key != second.access_key
        if under_test.real:
            with pytest.raises(WrongKeys):
                await under_test.as_somebody(first).put(f"{prefix}a", b"1")
            await under_test.as_somebody(second).put(f"{prefix}a", b"1")

        await under_test.access.revoke(name)
        await under_test.access.revoke(name)
        if under_test.real:
            with pytest.raises(WrongKeys):
                await under_test.as_somebody(second).get(f"{prefix}a")
