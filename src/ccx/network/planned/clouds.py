"""Section 9: cloud providers' APIs, for the clouds whose drivers are not built yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Plane, Protocol, Status, declare, on_cloud
from ccx.network.hosts import parse_url
from ccx.network.planned.backups import aws_domain

if TYPE_CHECKING:
    from ccx.settings import Settings

    Hosts = Callable[[Settings], Iterable[str | Address]]


def _configured(type_: str, ports: tuple[int, ...] = ()) -> Hosts:
    """The API that the operator configured for clouds of a type, and ``ports`` on the same host."""

    def hosts(settings: Settings) -> Iterable[Address]:
        for cloud in settings.clouds:
            if cloud.type == type_ and cloud.endpoint:
                api = parse_url(cloud.endpoint, field=f"clouds.{cloud.code}.endpoint")
                yield from (Address(api.host, port) for port in ports or (api.port or 443,))

    return hosts


def _per_region(service: str) -> Hosts:
    def hosts(settings: Settings) -> Iterable[str]:
        for region in (r.code for c in settings.clouds if c.type == "aws" for r in c.regions):
            yield f"{service}.{region}.{aws_domain(region)}"

    return hosts


def _api(
    type_: str, name: str, host: str | Hosts, purpose: str, *, behind: tuple[str, ...] = (), source: str = ""
) -> None:
    declare(
        id=f"cloud.{type_}.{name}", section=9, host=host, ports=443, protocol=Protocol.HTTPS,
        direction=Direction.OUTBOUND, plane=Plane.CONTROL, needed=on_cloud(type_), service="ccx-runner-service",
        purpose=purpose, behind=behind, source=source, status=Status.PLANNED,
        when_blocked="jobs on this cloud wait and are retried, then fail; running datastores go on",
    )  # fmt: skip


_api("aws", "ec2", _per_region("ec2"), "servers, volumes, addresses and security groups")
_api("aws", "s3", _per_region("s3"), "buckets for backups")
_api("openstack", "keystone", _configured("openstack"), "Keystone: logs in, and finds the other APIs")
_api("openstack", "services", _configured("openstack", (8774, 8776, 9696, 9292)), "Nova, Cinder, Neutron, Glance",
     source="specification, section 9; ports assumed on Keystone's host, its catalogue may say otherwise")  # fmt: skip
_api("gcp", "compute", "compute.googleapis.com", "servers, disks and addresses", behind=("oauth2.googleapis.com",))
_api("gcp", "storage", "storage.googleapis.com", "buckets for backups", behind=("oauth2.googleapis.com",))
_api("vmware", "api", _configured("vmware"), "vCenter")
_api("vcd", "api", _configured("vcd"), "vCloud Director")
_api("cloudstack", "api", _configured("cloudstack"), "CloudStack's API")
_api("zadara", "api", _configured("zadara"), "Zadara's EC2-like API")
