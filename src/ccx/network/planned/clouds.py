"""Section 9: cloud providers' APIs, for the clouds whose drivers are not built yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from ccx.network import Address, Direction, Plane, Protocol, Status, declare, on_cloud
from ccx.network.hosts import aws_domain, parse_url

if TYPE_CHECKING:
    from ccx.settings import Settings

    Hosts = Callable[[Settings], Iterable[str | Address]]


def _configured(type_: str, ports: tuple[int, ...] = ()) -> Hosts:
    """The API that the operator configured for clouds of a type, and ``ports`` on the same host."""

    def hosts(settings: Settings) -> Iterable[Address]:
        for cloud in settings.clouds:
            if cloud.type == type_ and cloud.endpoint:
                if ports and cloud.service_endpoints:
                    continue
                api = parse_url(cloud.endpoint, field=f"clouds.{cloud.code}.endpoint")
                for port in ports or (api.port or 443,):
                    yield Address(api.host, port, protocol=api.protocol)

    return hosts


def _given(settings: Settings) -> Iterable[Address]:
    for cloud in settings.clouds:
        for url in cloud.service_endpoints if cloud.type == "openstack" else ():
            api = parse_url(url, field=f"clouds.{cloud.code}.service_endpoints")
            yield Address(api.host, api.port, protocol=api.protocol)


def _ec2(settings: Settings) -> Iterable[str | Address]:
    """A private endpoint, where the operator has one."""
    yield from _configured("aws")(settings)
    for cloud in settings.clouds:
        if cloud.type == "aws" and not cloud.endpoint:
            yield from (f"ec2.{region.code}.{aws_domain(region.code)}" for region in cloud.regions)


def _zadara_store(settings: Settings) -> Iterable[Address]:
    for cloud in settings.clouds:
        if cloud.type == "zadara" and cloud.s3_endpoint:
            store = parse_url(cloud.s3_endpoint, field=f"clouds.{cloud.code}.s3_endpoint")
            yield Address(store.host, store.port, protocol=store.protocol)


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


_api("aws", "ec2", _ec2, "servers, volumes, addresses and security groups")
_api("aws", "s3", _per_region("s3"), "buckets for backups")
_api("openstack", "keystone", _configured("openstack"), "Keystone: logs in, and finds the other APIs")
_api("openstack", "services", _configured("openstack", (8774, 8776, 9696, 9292)), "Nova, Cinder, Neutron, Glance",
     source="specification, section 9; ports assumed on Keystone's host, its catalogue may say otherwise")  # fmt: skip
_api("openstack", "services-given", _given, "Nova, Cinder, Neutron, Glance, as configured")
_api("gcp", "compute", "compute.googleapis.com", "servers, disks and addresses", behind=("oauth2.googleapis.com",))
_api("gcp", "storage", "storage.googleapis.com", "buckets for backups", behind=("oauth2.googleapis.com",))
_api("vmware", "api", _configured("vmware"), "vCenter")
_api("vcd", "api", _configured("vcd"), "vCloud Director")
_api("cloudstack", "api", _configured("cloudstack"), "CloudStack's API")
_api("zadara", "api", _configured("zadara"), "Zadara's EC2-like API")
_api("zadara", "s3", _zadara_store, "Zadara's S3-compatible store")

declare(
    id="cloud.aws.sts", section=None, reason="Roles are assumed through STS; the specification omits it",
    host=_per_region("sts"), ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND, plane=Plane.CONTROL,
    needed=on_cloud("aws"), required=False, service="ccx-runner-service", status=Status.PLANNED,
    purpose="credentials of a role, where one is used instead of keys",
    when_blocked="with a role, jobs on this cloud fail; with keys, nothing changes",
)  # fmt: skip

for _plane, _service, _purpose, _required, _blocked in (
    (Plane.CONTROL, "ccx-runner-service", "credentials of the machine's role, where keys are not used", False,
     "with a role, jobs on this cloud fail; with keys, nothing changes"),
    (Plane.DATA, "cloud-init", "a new server reads its user data", True,
     "a new server never learns what it is for: creating fails after CLOUD_INIT_TIMEOUT_MINUTES and is undone"),
):  # fmt: skip
    declare(
        id=f"cloud.metadata.{_plane}", section=None, host="169.254.169.254", ports=80, protocol=Protocol.TCP,
        reason="Clouds' servers learn who they are from the metadata service; the specification omits it",
        direction=Direction.OUTBOUND, plane=_plane, needed=on_cloud("aws", "gcp", "openstack", "zadara", "cloudstack"),
        required=_required, service=_service, purpose=_purpose, when_blocked=_blocked, status=Status.PLANNED,
    )  # fmt: skip
