"""The one implementation: whatever speaks S3, through boto3 in a few threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from threading import Lock
from typing import Any, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from ccx.storage.base import Credentials, Location, StoredObject, Unreachable, Unsupported

_THREADS = 4
_MAKING = Lock()
"""A session makes one client at a time."""
_T = TypeVar("_T")


class S3:
    """A bucket behind S3's API. ``patience``: seconds for which a store that does not answer is asked again."""

    def __init__(
        self, location: Location, credentials: Credentials | None, *, proxy: str = "", patience: float = 60
    ) -> None:
        """Without ``credentials``, those of the machine's role are used, where it has one."""
        self.location = location
        self._credentials = credentials
        self.proxy = proxy
        self._patience = patience
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="s3")
        self._made: Any = None

    async def put(self, key: str, data: bytes, *, only_new: bool = False) -> None:
        condition = {"IfNoneMatch": "*"} if only_new else {}
        await self._call("put an object", lambda s3: s3.put_object(**self._of(key), Body=data, **condition))

    async def upload(self, key: str, parts: AsyncIterable[bytes]) -> None:
        began = await self._call("begin an upload", lambda s3: s3.create_multipart_upload(**self._of(key)))
        upload = {**self._of(key), "UploadId": began["UploadId"]}
        done: list[dict[str, Any]] = []
        try:
            async for data in parts:
                done.append({"PartNumber": len(done) + 1, "ETag": await self._part(upload, len(done) + 1, data)})
            await self._call(
                "finish an upload", lambda s3: s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": done})
            )
        except BaseException:
            with suppress(Exception):  # what is left of it is invisible, and goes by the bucket's own rules
                await asyncio.shield(self._call("give up an upload", lambda s3: s3.abort_multipart_upload(**upload)))
            raise

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> bytes:
        part = (
            {}
            if not start and length is None
            else {"Range": f"bytes={start}-{'' if length is None else start + length - 1}"}
        )
        found: bytes = await self._call(
            "get an object", lambda s3: s3.get_object(**self._of(key), **part)["Body"].read()
        )
        return found

    async def list(self, prefix: str) -> list[StoredObject]:
        def pages(s3: Any) -> list[StoredObject]:
            found = s3.get_paginator("list_objects_v2").paginate(Bucket=self.location.bucket, Prefix=prefix)
            return [
                StoredObject(entry["Key"], entry["Size"], entry["LastModified"])
                for page in found
                for entry in page.get("Contents", ())
            ]

        return sorted(await self._call("list objects", pages), key=lambda entry: entry.key)

    async def delete(self, key: str) -> None:
        await self._call("delete an object", lambda s3: s3.delete_object(**self._of(key)))

    async def put_locked(self, key: str, data: bytes, until: datetime) -> str:
        lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until.astimezone(UTC)}
        answer = await self._call("put a locked object", lambda s3: s3.put_object(**self._of(key), Body=data, **lock))
        if not answer.get("VersionId"):
            raise Unsupported(
                f"the bucket {self.location.bucket} takes a locked object, and does not lock it",
                remedy="Make a bucket with object lock, which can't be turned on later everywhere",
            )
        return str(answer["VersionId"])

    async def delete_version(self, key: str, version: str) -> None:
        await self._call("delete a locked object", lambda s3: s3.delete_object(**self._of(key), VersionId=version))

    async def delete_all(self, prefix: str) -> int:
        from ccx.storage import versions

        bucket = self.location.bucket
        left: int = await self._call("delete objects", lambda s3: versions.delete_all(s3, bucket, prefix))
        return left

    async def lock(self, keys: Sequence[str], until: datetime) -> None:
        from ccx.storage import versions

        if not await self.lock_enabled():
            raise Unsupported(
                f"the bucket {self.location.bucket} was made without object lock",
                field="s3_lock_days",
                remedy="Make a bucket with it and name that, or set s3_lock_days to 0",
            )
        bucket = self.location.bucket
        await self._call("lock objects", lambda s3: versions.lock(s3, bucket, keys, until, _THREADS))

    async def drop_old_versions(self, prefix: str, before: datetime) -> int:
        from ccx.storage import versions

        bucket = self.location.bucket
        gone: int = await self._call("delete old versions", lambda s3: versions.drop_old(s3, bucket, prefix, before))
        return gone

    async def drop_unfinished(self, prefix: str, before: datetime) -> int:
        from ccx.storage import versions

        bucket = self.location.bucket
        gone: int = await self._call(
            "give up old uploads", lambda s3: versions.drop_unfinished(s3, bucket, prefix, before)
        )
        return gone

    async def clock(self) -> datetime:
        headers: dict[str, str] = await self._call("look at the bucket", self._headers)
        if "date" not in headers:
            raise Unsupported(f"the object store {self.location.endpoint} does not say what time it is")
        return parsedate_to_datetime(headers["date"])

    async def lock_enabled(self) -> bool:
        """Whether the bucket was made with object lock."""

        def ask(s3: Any) -> bool:
            try:
                answer = s3.get_object_lock_configuration(Bucket=self.location.bucket)
            except s3.exceptions.ClientError as error:
                if error.response["Error"]["Code"] in ("ObjectLockConfigurationNotFoundError", "NotImplemented"):
                    return False
                raise
            return bool(answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled")

        return bool(await self._call("look at the bucket's lock", ask))

    async def close(self) -> None:
        if self._made is not None:
            self._made.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _part(self, upload: dict[str, Any], number: int, data: bytes) -> str:
        def send(s3: Any) -> str:
            return str(s3.upload_part(**upload, PartNumber=number, Body=data)["ETag"])

        return await self._call("upload a part", send)

    def _headers(self, s3: Any) -> dict[str, str]:
        """Also of an answer that says no: it has the time as well."""
        try:
            answer = s3.head_bucket(Bucket=self.location.bucket)
        except s3.exceptions.ClientError as error:
            answer = error.response
        headers: dict[str, str] = answer["ResponseMetadata"]["HTTPHeaders"]
        return headers

    def _of(self, key: str) -> dict[str, str]:
        return {"Bucket": self.location.bucket, "Key": key}

    async def _call(self, what: str, ask: Callable[[Any], _T]) -> _T:
        """Has a thread ask. Raises one of :mod:`ccx.storage.base`'s errors."""

        def run() -> _T:
            if self._made is None:
                self._made = client("s3", self.location, self._credentials, self.proxy)
            return ask(self._made)

        again = AsyncRetrying(
            retry=retry_if_exception_type(Unreachable),
            stop=stop_after_delay(self._patience),
            wait=wait_random_exponential(0.2, max=5),
            reraise=True,
        )
        loop = asyncio.get_running_loop()

        async def once() -> _T:
            try:
                return await loop.run_in_executor(self._threads, run)
            except Exception as error:
                from ccx.storage.failures import translated  # boto3 is loaded by now, and not before

                raise translated(error, self.location, what) from error

        return await again(once)


def client(service: str, location: Location, credentials: Credentials | None, proxy: str, **options: Any) -> Any:
    """A boto3 client of the location's store. Imports boto3, which takes a second and 40 MiB: call it from a thread."""
    from botocore.config import Config

    with _MAKING:
        return _session().client(
            service,
            endpoint_url=options.pop("endpoint", location.endpoint),
            region_name=location.region,
            aws_access_key_id=credentials.access_key if credentials else None,
            aws_secret_access_key=credentials.secret_key if credentials else None,
            verify=(str(location.ca) if location.ca else True) if location.verify else False,
            config=Config(
                s3={"addressing_style": location.style},
                proxies={"https": proxy, "http": proxy} if proxy else {},
                retries={"mode": "standard", "max_attempts": 2},
                connect_timeout=5,
                read_timeout=60,
                max_pool_connections=_THREADS,
                # Others than AWS don't know the newer checksums.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
            **options,
        )


@cache
def _session() -> Any:
    """Clients are made of one: what it has read of AWS's services takes 140 ms, and each client 5."""
    import boto3

    return boto3.session.Session()
