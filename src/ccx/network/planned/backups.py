"""Section 4: object storage, which nodes and the control plane both need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Mirror, Plane, Protocol, Status, When, declare
from ccx.network.hosts import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ccx.settings import CloudConfig, Settings


def _own_store(cloud: CloudConfig, type_: str) -> bool:
    return cloud.type == type_ and cloud.s3 and not cloud.s3_endpoint


_ON_AWS = When(lambda s: any(_own_store(c, "aws") for c in s.clouds), "backups of a cloud of type aws go to S3")
_ON_GCP = When(
    lambda s: any(_own_store(c, "gcp") for c in s.clouds), "backups of a cloud of type gcp go to Cloud Storage"
)
_CUSTOM = When(lambda s: any(c.s3_endpoint for c in s.clouds), "a cloud has an S3 endpoint of its own")


def aws_domain(region: str) -> str:
    """China's regions are a partition with names of its own."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def _aws(settings: Settings) -> Iterable[str]:
    for cloud in settings.clouds:
        if _own_store(cloud, "aws"):
            for region in cloud.regions:
                yield from (f"{name}s3.{region.code}.{aws_domain(region.code)}" for name in ("", "*."))


def _custom(settings: Settings) -> Iterable[Address]:
    for cloud in settings.clouds:
        if cloud.s3_endpoint:
            found = parse_url(cloud.s3_endpoint, field=f"clouds.{cloud.code}.s3_endpoint")
            yield Address(found.host, found.port, protocol=found.protocol)


for _plane, _service, _blocked in (
    (Plane.CONTROL, "ccx-runner-service", "backups can't be listed or removed; datastores and their backups go on"),
    (Plane.DATA, "database nodes", "backups and restores fail and say so; datastores go on"),
):
    for _id, _host, _when, _purpose in (
        ("s3-aws", _aws, _ON_AWS, "backup upload and restore (AWS S3)"),
        ("s3", _custom, _CUSTOM, "backup upload and restore (S3-compatible store)"),
    ):
        declare(
            id=f"backup.{_id}.{_plane}", section=4, host=_host, ports=443, protocol=Protocol.HTTPS,
            direction=Direction.OUTBOUND, plane=_plane, needed=_when, service=_service, purpose=_purpose,
            mirror=Mirror.OBJECT_STORE, when_blocked=_blocked, status=Status.PLANNED,
        )  # fmt: skip
    declare(
        id=f"backup.gcs.{_plane}", section=None, host="storage.googleapis.com", ports=443, protocol=Protocol.HTTPS,
        reason="The specification's table of object stores leaves Google's out", direction=Direction.OUTBOUND,
        plane=_plane, needed=_ON_GCP, service=_service, purpose="backup upload and restore (Google Cloud Storage)",
        behind=("oauth2.googleapis.com",), mirror=Mirror.OBJECT_STORE, when_blocked=_blocked, status=Status.PLANNED,
    )  # fmt: skip
