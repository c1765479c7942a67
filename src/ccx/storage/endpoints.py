"""Section 4: object storage, which nodes and the control plane both need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ccx.network import CONTROL_PLANE, Address, Direction, Endpoint, Mirror, Plane, Protocol, Status, When, declare
from ccx.network.hosts import aws_domain, aws_iam, is_address, parse_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ccx.network.plan import Row
    from ccx.settings import CloudConfig, Settings

    Hosts = Callable[[Settings], Iterable[str | Address]]


def _own(cloud: CloudConfig, settings: Settings) -> bool:
    """Whether it is the one that ``ccx up`` runs beside the control plane."""
    return bool(cloud.s3_endpoint and settings.control_address) and _address(cloud).host == settings.control_address


def _address(cloud: CloudConfig) -> Address:
    return parse_url(cloud.s3_endpoint, field=f"clouds.{cloud.code}.s3_endpoint")


def _others(settings: Settings) -> list[CloudConfig]:
    return [cloud for cloud in settings.clouds if cloud.s3_endpoint and not _own(cloud, settings)]


def _aws_regions(settings: Settings) -> Iterable[str]:
    """``s3_region`` may be another one than those that the cloud has servers in."""
    for cloud in settings.clouds:
        if cloud.type == "aws" and cloud.s3 and not cloud.s3_endpoint:
            codes = [region.code for region in cloud.regions]
            yield from dict.fromkeys([*codes, cloud.s3_region] if cloud.s3_region else codes)


def _aws(settings: Settings) -> Iterable[str]:
    for region in _aws_regions(settings):
        yield from (f"{name}s3.{region}.{aws_domain(region)}" for name in ("", "*."))


def _aws_iam(settings: Settings) -> Iterable[str]:
    return dict.fromkeys(aws_iam(region) for region in _aws_regions(settings))


def _custom(settings: Settings) -> Iterable[Address]:
    for cloud in _others(settings):
        found = _address(cloud)
        yield Address(found.host, found.port, protocol=found.protocol)
        if cloud.s3_style == "virtual" and not is_address(found.host):
            yield Address(f"*.{found.host}", found.port, protocol=found.protocol)


def _own_port(settings: Settings) -> int:
    """0: there is none. There is one at most."""
    return next((_address(cloud).port or 443 for cloud in settings.clouds if _own(cloud, settings)), 0)


_ON_AWS = When(lambda s: any(_aws(s)), "backups of a cloud of type aws go to S3")
_CUSTOM = When(lambda s: bool(_others(s)), "a cloud has an S3 endpoint of its own")
_OWN = When(lambda s: bool(_own_port(s)), "backups go to the object store that ccx up runs itself")


_BLOCKED = (
    "no datastore gets or loses its own keys to the store: first backups fail and say so, and deleting one that has "
    "backups is not finished before it is open again; other backups, and datastores, go on"
)
_NODES_BLOCKED = (
    "backups and restores fail and say so; datastores go on, and show as DEGRADED when their log waits to be archived"
)


def _store(kind: str, plane: Plane, host: Hosts, needed: When, purpose: str) -> Endpoint:
    nodes = plane is Plane.DATA
    return declare(
        id=f"backup.{kind}.{plane}", section=4, host=host, ports=443, protocol=Protocol.HTTPS,
        direction=Direction.OUTBOUND, plane=plane, needed=needed,
        service="database nodes" if nodes else "ccx-runner-service", purpose=purpose, mirror=Mirror.OBJECT_STORE,
        when_blocked=_NODES_BLOCKED if nodes else _BLOCKED,
    )  # fmt: skip


_TO_AWS, _AWS_BY_NODES = (
    _store("s3-aws", plane, _aws, _ON_AWS, "backup upload and restore (AWS S3)")
    for plane in (Plane.CONTROL, Plane.DATA)
)
_TO_OTHERS, _OTHERS_BY_NODES = (
    _store("s3", plane, _custom, _CUSTOM, "backup upload and restore (S3-compatible store)")
    for plane in (Plane.CONTROL, Plane.DATA)
)
_IAM = declare(
    id="backup.iam-aws", section=None, reason="Each datastore has keys of its own; AWS gives them elsewhere than S3",
    host=_aws_iam, ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND, plane=Plane.CONTROL,
    needed=_ON_AWS, service="ccx-runner-service", purpose="makes and removes each datastore's keys (AWS IAM)",
    when_blocked=_BLOCKED,
)  # fmt: skip
_REASON = "On one machine the store runs beside the control plane; the specification's stores are elsewhere"
_TO_OWN, _OWN_BY_NODES = (
    declare(
        id=f"backup.own.{plane}", section=None, reason=_REASON, host=CONTROL_PLANE, ports=_own_port,
        protocol=Protocol.HTTPS, direction=direction, plane=plane, needed=_OWN, service=service,
        purpose="backup upload and restore (the object store of ccx up)", when_blocked=blocked,
    )
    for plane, direction, service, blocked in (
        (Plane.INTERNAL, Direction.INTERNAL, "ccx-runner-service", _BLOCKED),
        (Plane.DATA, Direction.OUTBOUND, "database nodes", _NODES_BLOCKED),
    )
)  # fmt: skip


def to_a_store(row: Row) -> bool:
    """Whether nodes reach their object store by it, whoever runs that: only backups need it."""
    return row.mirror is Mirror.OBJECT_STORE or row.id == _OWN_BY_NODES.id


def copy_cloud(settings: Settings) -> CloudConfig | None:
    """The cloud whose store keeps the control plane's own copy: the first that has one, while the database is ours."""
    if not settings.embedded_database:
        return None
    return next((c for c in settings.clouds if c.s3_endpoint or (c.type == "aws" and c.s3)), None)


_NOT_SPECIFIED = "The specification's control plane has a database that others back up; ours does it itself"
_COPY_BLOCKED = (
    "the copy of the control plane's database falls behind and says so (ccx status, /metrics); control plane and "
    "datastores go on"
)
_RECOVER_BLOCKED = "ccx recover says so, and changes nothing; datastores go on"


def _copy(name: str, host: Hosts, condition: str, *, recover: bool = False) -> Endpoint:
    return declare(
        id=f"{'recover' if recover else 'copy'}.{name}", section=None, reason=_NOT_SPECIFIED,
        host=host, ports=443, protocol=Protocol.HTTPS, direction=Direction.OUTBOUND,
        plane=Plane.INSTALL if recover else Plane.CONTROL,
        needed=When(lambda s: s.embedded_database and bool(list(host(s))), condition), mirror=Mirror.OBJECT_STORE,
        service="ccx recover" if recover else "ccx-runner-service",
        purpose="reads the control plane's copy on a new machine" if recover
        else "the copy of the control plane's own database, and its claim",
        when_blocked=_RECOVER_BLOCKED if recover else _COPY_BLOCKED,
    )  # fmt: skip


_IN_AWS = "backups of a cloud of type aws go to S3, and ccx up runs the database"
_IN_OTHERS = "a cloud has an S3 endpoint of its own, and ccx up runs the database"
_COPY_AWS, _RECOVER_AWS = (_copy("s3-aws", _aws, _IN_AWS, recover=recover) for recover in (False, True))
_COPY_OTHERS, _RECOVER_OTHERS = (_copy("s3", _custom, _IN_OTHERS, recover=recover) for recover in (False, True))
_COPY_OWN = declare(
    id="copy.own", section=None, reason=_NOT_SPECIFIED, host=CONTROL_PLANE,
    ports=_own_port, protocol=Protocol.HTTPS, direction=Direction.INTERNAL, plane=Plane.INTERNAL,
    needed=When(lambda s: s.embedded_database and bool(_own_port(s)), "ccx up runs both database and object store"),
    service="ccx-runner-service", purpose="the copy of the control plane's own database, and its claim",
    when_blocked=_COPY_BLOCKED,
)  # fmt: skip


def of_copy(cloud: CloudConfig, settings: Settings) -> Endpoint:
    """The declaration by which the control plane reaches the store of its own copy."""
    if not cloud.s3_endpoint:
        return _COPY_AWS
    return _COPY_OWN if _own(cloud, settings) else _COPY_OTHERS


def of_recovery(cloud: CloudConfig) -> Endpoint:
    """The declaration by which ``ccx recover`` reaches the store, before there is a control plane."""
    return _RECOVER_OTHERS if cloud.s3_endpoint else _RECOVER_AWS


def of(cloud: CloudConfig, settings: Settings) -> Endpoint:
    """The declaration by which the control plane reaches a cloud's object store."""
    if not cloud.s3_endpoint:
        return _TO_AWS
    return _TO_OWN if _own(cloud, settings) else _TO_OTHERS


def of_access(cloud: CloudConfig, settings: Settings) -> Endpoint:
    """The declaration by which datastores get keys of their own: others than AWS give them on the store's port."""
    return of(cloud, settings) if cloud.s3_endpoint else _IAM


def reached_by_nodes(settings: Settings) -> tuple[tuple[str, int], ...]:
    """Hosts and ports that nodes connect to for backups; the proxy, where they go by one."""
    found: set[tuple[str, int]] = set()
    for endpoint in (_AWS_BY_NODES, _OTHERS_BY_NODES, _OWN_BY_NODES):
        if endpoint.status is not Status.BUILT or not endpoint.needed(settings):
            continue
        if endpoint.by_proxy(settings):
            proxy = parse_url(settings.egress_proxy, field="egress_proxy")
            found.add((proxy.host, proxy.port or 3128))
        else:
            found.update((host, t.port) for t in endpoint.targets(settings) for host in t.members(settings))
    return tuple(sorted(found))
