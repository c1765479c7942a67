"""Each datastore's own keys: an IAM user whose only policy opens the datastore's prefix. AWS and SeaweedFS alike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self, TypeVar

from ccx.network.hosts import aws_partition
from ccx.storage.base import Credentials, Location
from ccx.storage.failures import translated
from ccx.storage.s3 import client

_T = TypeVar("_T")
_READ = ("s3:GetObject",)
_OBJECTS = ("s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")
_POLICY = "ccx-own-prefix"


def policy(bucket: str, prefix: str, *, partition: str = "aws", read_only: bool = False) -> dict[str, Any]:
    """What opens ``prefix`` (``…/``) of ``bucket`` and nothing else."""
    actions = list(_READ if read_only else _OBJECTS)
    arn = f"arn:{partition}:s3:::{bucket}"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": actions, "Resource": [f"{arn}/{prefix}*"]},
            {
                "Effect": "Allow",
                "Action": ["s3:ListBucket"],
                "Resource": [arn],
                "Condition": {"StringLike": {"s3:prefix": [f"{prefix}*"]}},
            },
        ],
    }


class IamAccess:
    """Users of the store's own IAM, which must let the control plane's keys make and remove users ``ccx-…``."""

    def __init__(self, location: Location, credentials: Credentials | None, *, proxy: str = "") -> None:
        self._location = location
        self._credentials = credentials
        self._proxy = proxy
        self._partition = aws_partition(location.region)
        self._made: Any = None

    async def grant(self, name: str, prefix: str, *, read_only: bool = False) -> Credentials:
        opened = policy(self._location.bucket, prefix, partition=self._partition, read_only=read_only)
        document = json.dumps(opened)

        def run(iam: Any) -> Credentials:
            _tolerating("EntityAlreadyExists", lambda: iam.create_user(UserName=name))
            iam.put_user_policy(UserName=name, PolicyName=_POLICY, PolicyDocument=document)
            earlier = [key["AccessKeyId"] for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]]
            for key in earlier:  # AWS allows two, and nobody knows the secret of one that a broken-off job made
                iam.delete_access_key(UserName=name, AccessKeyId=key)
            made = iam.create_access_key(UserName=name)["AccessKey"]
            return Credentials(made["AccessKeyId"], made["SecretAccessKey"])

        return await self._call("make a user", run)

    async def revoke(self, name: str) -> None:
        def run(iam: Any) -> None:
            try:
                keys = iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
            except iam.exceptions.ClientError as error:
                if error.response["Error"]["Code"] == "NoSuchEntity":
                    return
                raise
            for key in keys:
                iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
            _tolerating("NoSuchEntity", lambda: iam.delete_user_policy(UserName=name, PolicyName=_POLICY))
            _tolerating("NoSuchEntity", lambda: iam.delete_user(UserName=name))

        await self._call("remove a user", run)

    async def close(self) -> None:
        if self._made is not None:
            await asyncio.to_thread(self._made.close)
            self._made = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _call(self, what: str, ask: Callable[[Any], _T]) -> _T:
        def run() -> _T:
            if self._made is None:
                # AWS has its IAM elsewhere, where boto3 finds it (``aws_iam``) and how to sign for it; the others
                # answer on the same port.
                options = {"endpoint": None} if self._location.aws else {}
                self._made = client("iam", self._location, self._credentials, self._proxy, **options)
            return ask(self._made)

        try:
            return await asyncio.to_thread(run)
        except Exception as error:
            raise translated(error, self._location, what) from error


def _tolerating(code: str, call: Callable[[], Any]) -> None:
    from botocore.exceptions import ClientError

    try:
        call()
    except ClientError as error:
        if error.response["Error"]["Code"] != code:
            raise
