"""Where AWS has what backups need: the rows say what boto3 really connects to."""

from __future__ import annotations

from urllib.parse import urlsplit

import boto3
import pytest

from ccx.network.hosts import aws_iam, aws_partition
from ccx.network.page import everything
from ccx.network.plan import plan
from ccx.settings import Settings
from ccx.storage import endpoints
from ccx.storage.opened import open_access, open_store

KEYS = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
ENVIRON = {"EC2_S3_ACCESSKEY": "x", "EC2_S3_SECRETKEY": "x"}
REGIONS = [
    region
    for partition in ("aws", "aws-cn", "aws-us-gov")
    for region in boto3.session.Session().get_available_regions("s3", partition_name=partition)
]


def settings_of(*regions: str, s3_region: str = "") -> Settings:
    known = everything()
    like = next(cloud for cloud in known.clouds if cloud.type == "aws")
    cloud = like.model_copy(
        update={
            "code": "ec2", "s3_bucket": "backups", "s3_region": s3_region, "s3_credentials": None,
            "regions": tuple(like.regions[0].model_copy(update={"code": region}) for region in regions),
        }
    )  # fmt: skip
    return known.model_copy(update={"clouds": (cloud,)})


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "cn-north-1", "cn-northwest-1", "us-gov-east-1"])
def test_the_iam_of_a_region_is_where_boto3_finds_it(region: str) -> None:
    client = boto3.session.Session().client("iam", region_name=region, **KEYS)
    assert urlsplit(client.meta.endpoint_url).hostname == aws_iam(region)


def test_every_region_is_of_the_partition_that_boto3_has_it_in() -> None:
    session = boto3.session.Session()
    assert len(REGIONS) > 20
    assert {region: aws_partition(region) for region in REGIONS} == {
        region: session.get_partition_for_region(region) for region in REGIONS
    }


def test_where_datastores_get_their_keys_is_declared_once_for_all_regions() -> None:
    settings = settings_of("eu-west-1", "us-east-1")
    rows = [row for row in plan(settings).rows if row.id == "backup.iam-aws"]
    assert [(row.host, row.port) for row in rows] == [("iam.amazonaws.com", 443)]
    open_access(settings.clouds[0], settings, environ=ENVIRON)


def test_a_store_in_a_region_without_servers_is_declared_and_opened() -> None:
    settings = settings_of("eu-west-1", s3_region="eu-central-1")
    hosts = {row.host for row in plan(settings).rows if row.id.startswith("backup.s3-aws")}
    assert {"s3.eu-central-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"} <= hosts
    open_store(settings.clouds[0], settings, environ=ENVIRON)
    assert ("s3.eu-central-1.amazonaws.com", 443) in endpoints.reached_by_nodes(settings)
