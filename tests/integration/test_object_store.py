"""Object stores for real: SeaweedFS as ``ccx up`` runs it, and an emulator of AWS; what is wrong with one is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from moto import mock_aws
from tests.seaweedfs import SeaweedFs, seaweedfs
from tests.store_conformance import StoreConformance, StoreUnderTest

from ccx.pki import new_ca
from ccx.runner.steps.locks import Wanted, lock_objects
from ccx.storage.access import IamAccess
from ccx.storage.base import Credentials, Location, NotAllowed, Unreachable, Unsupported
from ccx.storage.check import check
from ccx.storage.s3 import S3, client


@pytest.fixture(scope="module")
async def weed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SeaweedFs]:
    async with seaweedfs(tmp_path_factory.mktemp("weed")) as running:
        yield running


class TestSeaweedFs(StoreConformance):
    @pytest.fixture(scope="class")
    @classmethod
    async def under_test(cls, weed: SeaweedFs) -> AsyncIterator[StoreUnderTest]:
        store = S3(weed.location, weed.keys)
        yield StoreUnderTest(store, IamAccess(weed.location, weed.keys))
        await store.close()


class TestAws(StoreConformance):
    @pytest.fixture(scope="class")
    @classmethod
    async def under_test(cls) -> AsyncIterator[StoreUnderTest]:
        location = Location(
            "https://s3.eu-west-1.amazonaws.com", "backups", "eu-west-1", style="virtual", aws=True
        )  # fmt: skip
        keys = Credentials("AKIATEST", "secret")
        with mock_aws():
            s3 = boto3.client("s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
            s3.create_bucket(Bucket="backups", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
            store = S3(location, keys)
            yield StoreUnderTest(store, IamAccess(location, keys), real=False)
            await store.close()


async def failures(location: Location, keys: Credentials | None, *, access: bool = False) -> dict[str, str]:
    """What the check finds missing that backups need, by what was tried."""
    store = S3(location, keys, patience=2)
    try:
        tried = await check(store, IamAccess(location, keys) if access else None)
    finally:
        await store.close()
    return {one.name: f"{one.err}. {one.remedy}" for one in tried if one.ok is False and one.needed}


async def test_a_good_store_passes_the_check_and_nothing_is_left_behind(weed: SeaweedFs) -> None:
    assert await failures(weed.location, weed.keys, access=True) == {}
    store = S3(weed.location, weed.keys)
    assert await store.list("ccx-check/") == []
    await store.close()


async def test_a_missing_bucket_is_named(weed: SeaweedFs) -> None:
    found = await failures(replace(weed.location, bucket="nonesuch"), weed.keys)
    assert found.keys() == {"list"}
    assert "has no bucket 'nonesuch'" in found["list"]


async def test_a_read_only_bucket_is_named(weed: SeaweedFs) -> None:
    found = await failures(weed.location, Credentials("TESTREADER", "test-admin-secret"))
    assert found.keys() == {"put"}
    assert "would not put an object in backups" in found["put"]
    assert "Let these keys" in found["put"]


async def test_somebody_elses_bucket_is_named(weed: SeaweedFs) -> None:
    found = await failures(weed.location, Credentials("TESTSTRANGER", "test-admin-secret"))
    assert found.keys() == {"list"}
    assert "would not list objects in backups" in found["list"]


async def test_wrong_keys_are_named(weed: SeaweedFs) -> None:
    for keys in (Credentials("TESTADMIN", "wrong"), Credentials("NOBODY", "wrong")):
        found = await failures(weed.location, keys)
        assert found.keys() == {"list"}
        assert "Correct the keys" in found["list"]


async def test_an_untrusted_ca_is_named(weed: SeaweedFs, tmp_path: Path) -> None:
    (tmp_path / "other.crt").write_text(new_ca("another").certificate)
    for ca in (tmp_path / "other.crt", None):
        found = await failures(replace(weed.location, ca=ca), weed.keys)
        assert found.keys() == {"reach"}
        assert "can't be trusted" in found["reach"]
        assert "s3_ca" in found["reach"]


async def test_a_certificate_that_is_not_checked_is_said(weed: SeaweedFs) -> None:
    store = S3(replace(weed.location, ca=None, verify=False), weed.keys)
    reach = (await check(store))[0]
    await store.close()
    assert reach.ok
    assert "not checked" in reach.detail


async def test_a_store_that_is_not_there_is_named_and_the_rest_not_tried(weed: SeaweedFs) -> None:
    store = S3(replace(weed.location, endpoint="https://127.0.0.1:9"), weed.keys, patience=1)
    tried = await check(store)
    await store.close()
    assert [one.ok for one in tried] == [False] + [None] * (len(tried) - 1)
    assert "does not answer" in tried[0].err


async def test_a_skewed_clock_is_named(weed: SeaweedFs, monkeypatch: pytest.MonkeyPatch) -> None:
    store = S3(weed.location, weed.keys)

    async def late() -> datetime:
        return datetime.fromtimestamp(datetime.now(UTC).timestamp() + 400, UTC)

    monkeypatch.setattr(store, "clock", late)
    clock = next(one for one in await check(store) if one.name == "clock")
    await store.close()
    assert clock.ok is False
    assert "400 s apart" in clock.err
    assert "NTP" in clock.remedy


@pytest.mark.slow  # it tries for a minute and a half by itself
async def test_a_full_store_is_named(tmp_path: Path) -> None:
    async with seaweedfs(tmp_path, "-volume.minFreeSpace=99") as full:
        found = await failures(full.location, full.keys)
    assert found.keys() == {"put"}
    assert "make room if it is full" in found["put"]


async def test_a_bucket_with_object_lock_keeps_what_is_locked(weed: SeaweedFs) -> None:
    await asyncio.to_thread(_make_locked_bucket, weed)
    location = replace(weed.location, bucket="locked", lock_days=7)
    store = S3(location, weed.keys)
    lock = next(one for one in await check(store) if one.name == "object lock")
    await store.close()
    assert (lock.ok, lock.needed) == (True, True)
    without = await failures(replace(weed.location, lock_days=7), weed.keys)
    assert "without object lock" in without["object lock"]


async def test_what_is_locked_outlives_deletion_and_goes_when_its_time_is_over(weed: SeaweedFs) -> None:
    await asyncio.to_thread(_make_locked_bucket, weed)
    store = S3(replace(weed.location, bucket="locked", lock_days=7), weed.keys)
    for key in ("kept/a", "kept/b", "kept/c"):
        await store.put(key, b"1")
    until = datetime.now(UTC) + timedelta(seconds=5)
    await store.lock(["kept/a", "kept/b"], until)

    await store.delete("kept/a")  # as anybody would: it only looks gone
    assert await store.drop_old_versions("kept/", datetime.now(UTC) + timedelta(minutes=1)) == 0
    assert await store.delete_all("kept/") == 2
    assert [one.key for one in await store.list("kept/")] == ["kept/a", "kept/b"]

    await asyncio.sleep((until - datetime.now(UTC)).total_seconds() + 1)
    assert await store.delete_all("kept/") == 0
    assert await store.list("kept/") == []
    await store.close()


async def test_what_was_replaced_and_deleted_goes_when_it_is_old_enough(weed: SeaweedFs) -> None:
    await asyncio.to_thread(_make_locked_bucket, weed)
    store = S3(replace(weed.location, bucket="locked"), weed.keys)
    for data in (b"1", b"2", b"3"):
        await store.put("old/a", data)
    await store.put("old/b", b"1")
    await store.delete("old/b")
    assert await store.drop_old_versions("old/", datetime.now(UTC) - timedelta(minutes=1)) == 0
    assert await store.drop_old_versions("old/", datetime.now(UTC) + timedelta(minutes=1)) == 4
    assert await store.get("old/a") == b"3"
    await store.close()


async def test_uploads_that_nobody_finishes_are_given_up_when_they_are_old_enough(weed: SeaweedFs) -> None:
    store = S3(weed.location, weed.keys)
    raw = client("s3", weed.location, weed.keys, "")
    where = {"Bucket": weed.location.bucket}

    def begin(key: str) -> str:
        upload = raw.create_multipart_upload(**where, Key=key)["UploadId"]
        raw.upload_part(**where, Key=key, UploadId=upload, PartNumber=1, Body=b"1" * (5 << 20))
        return str(upload)

    def unfinished() -> list[str]:
        return [one["Key"] for one in raw.list_multipart_uploads(**where, Prefix="ds/").get("Uploads", ())]

    for key in ("ds/mine/data", "ds/other/data"):
        await asyncio.to_thread(begin, key)
    assert await asyncio.to_thread(unfinished) == ["ds/mine/data", "ds/other/data"]
    assert await store.drop_unfinished("ds/mine/", datetime.now(UTC) - timedelta(minutes=5)) == 0
    assert await store.drop_unfinished("ds/mine/", datetime.now(UTC) + timedelta(minutes=1)) == 1
    assert await asyncio.to_thread(unfinished) == ["ds/other/data"]
    await store.close()


async def test_of_a_locked_backup_nothing_can_be_deleted_and_the_rest_can(weed: SeaweedFs) -> None:
    await asyncio.to_thread(_make_locked_bucket, weed)
    store = S3(replace(weed.location, bucket="locked"), weed.keys)
    own = ("backup/x/1F/bundle/1", "backup/x/backup.info", "archive/x/17-1/0000/00000001", "archive/x/archive.info")
    for key in (*own, "backup/x/0F/bundle/1", "backup/y/1F/bundle/1"):
        await store.put(f"ds/{key}", b"1")
    began = (await store.list("ds/archive/"))[0].modified
    until = datetime.now(UTC) + timedelta(seconds=8)
    assert await lock_objects(store, "ds/", "x", Wanted(("1F",), began, until)) == len(own)

    assert await store.delete_all("ds/") == len(own)
    assert {one.key for one in await store.list("ds/")} == {f"ds/{key}" for key in own}
    await store.close()


async def test_a_lock_that_the_bucket_can_not_keep_is_refused(weed: SeaweedFs) -> None:
    store = S3(weed.location, weed.keys)
    with pytest.raises(Unsupported, match="without object lock"):
        await store.lock(["anything"], datetime.now(UTC) + timedelta(days=1))
    await store.close()


async def test_a_store_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    async with seaweedfs(tmp_path) as mortal:
        store = S3(mortal.location, mortal.keys, patience=60)
        await store.put("a", b"kept")
        await mortal.kill()
        impatient = S3(mortal.location, mortal.keys, patience=0)
        with pytest.raises(Unreachable):
            await impatient.get("a")
        reading = asyncio.create_task(store.get("a"))
        await mortal.start()
        assert await reading == b"kept"
        await impatient.close()
        await store.close()


async def test_keys_of_one_bucket_do_not_open_another(weed: SeaweedFs) -> None:
    stranger = S3(weed.location, Credentials("TESTSTRANGER", "test-admin-secret"), patience=1)
    with pytest.raises(NotAllowed):
        await stranger.get("anything")
    await stranger.close()


def _make_locked_bucket(weed: SeaweedFs) -> None:
    from ccx.storage.s3 import client

    s3 = client("s3", weed.location, weed.keys, "")
    if "locked" not in [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]:
        s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    s3.close()
