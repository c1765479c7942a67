"""What no list of objects shows: versions in a bucket that keeps them, their locks, and uploads without an end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

_BATCH = 1000
"""Objects that one request can delete."""
_LOCKED = ("AccessDenied", "ObjectLocked", "InvalidRequest")
_NO_VERSION = ("", "null")


@dataclass(frozen=True)
class Version:
    key: str
    id: str
    latest: bool
    marker: bool
    """It only says that the object was deleted."""
    modified: datetime


def every(s3: Any, bucket: str, prefix: str) -> Iterator[Version]:
    """All versions of all objects below the prefix; in a bucket without versions, the objects."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for kind in ("Versions", "DeleteMarkers"):
            for entry in page.get(kind, ()):
                yield Version(
                    entry["Key"], entry.get("VersionId") or "", entry["IsLatest"], kind == "DeleteMarkers",
                    entry["LastModified"],
                )  # fmt: skip


def delete(s3: Any, bucket: str, versions: Sequence[Version]) -> int:
    """Deletes these; returns how many stay, because they are locked. Raises ClientError for another refusal."""
    left = 0
    for start in range(0, len(versions), _BATCH):
        wanted = [
            {"Key": one.key} | ({} if one.id in _NO_VERSION else {"VersionId": one.id})
            for one in versions[start : start + _BATCH]
        ]
        answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})
        for error in answer.get("Errors", ()):
            if error.get("Code") not in _LOCKED:
                raise ClientError({"Error": error}, "DeleteObjects")
            left += 1
    return left


def delete_all(s3: Any, bucket: str, prefix: str) -> int:
    """All versions and unfinished uploads below the prefix; returns how many versions stay, because they are locked."""
    drop_unfinished(s3, bucket, prefix)
    return delete(s3, bucket, list(every(s3, bucket, prefix)))


def drop_unfinished(s3: Any, bucket: str, prefix: str, before: datetime | None = None) -> int:
    """Uploads below the prefix, all or those that began before. Returns how many went."""
    pages = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
    found = [entry for page in pages for entry in page.get("Uploads", ())]
    old = [entry for entry in found if before is None or entry["Initiated"] < before]
    for upload in old:
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return len(old)


def drop_old(s3: Any, bucket: str, prefix: str, before: datetime) -> int:
    """Versions that are not the latest, and marks of deletion with nothing below, older than that, if not locked.

    Returns how many went.
    """
    found = list(every(s3, bucket, prefix))
    old = [one for one in found if not one.latest and one.modified < before and one.id not in _NO_VERSION]
    gone = len(old) - delete(s3, bucket, old)
    left = every(s3, bucket, prefix) if old else found
    still = {one.key for one in left if not one.marker}
    marks = [one for one in found if one.marker and one.latest and one.key not in still and one.modified < before]
    return gone + len(marks) - delete(s3, bucket, marks)


def lock(s3: Any, bucket: str, keys: Sequence[str], until: datetime, threads: int) -> None:
    """Locks the current version of each. Raises ClientError."""
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": until.astimezone(UTC)}

    def one(key: str) -> None:
        s3.put_object_retention(Bucket=bucket, Key=key, Retention=retention)

    with ThreadPoolExecutor(threads, thread_name_prefix="s3-lock") as pool:
        for done in [pool.submit(one, key) for key in keys]:
            done.result()
