"""A cloud's object store, as the settings have it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ccx.errors import Invalid, NotFound
from ccx.network.hosts import aws_domain, aws_iam, parse_url
from ccx.settings import CloudConfig, Settings
from ccx.settings.codes import prefix
from ccx.storage import endpoints
from ccx.storage.base import Credentials, Location

if TYPE_CHECKING:  # boto3's family loads at its first use
    from ccx.storage.access import IamAccess
    from ccx.storage.light import Shelf
    from ccx.storage.s3 import S3

_DEFAULT_REGION = "us-east-1"


def has_store(cloud: CloudConfig) -> bool:
    """Whether its datastores can be backed up at all."""
    return bool(cloud.s3_endpoint) or (cloud.type == "aws" and cloud.s3)


def location_of(cloud: CloudConfig) -> Location:
    """Where the cloud's backups go. Raises NotFound for a cloud without an object store, Invalid for half of one."""
    field = f"clouds.{cloud.code}"
    aws = not cloud.s3_endpoint
    if not has_store(cloud):
        raise NotFound(
            f"the cloud {cloud.code!r} has no object store, so its datastores can't be backed up",
            field=f"{field}.s3_endpoint",
            remedy="Name one that speaks S3 in s3_endpoint",
        )
    if not cloud.s3_bucket:
        raise Invalid(
            f"nothing says which bucket the backups of the cloud {cloud.code!r} go to",
            field=f"{field}.s3_bucket",
            remedy=f"Set s3_bucket, or {prefix(cloud.code)}_S3_BUCKETNAME",
        )
    codes = [region.code for region in cloud.regions]
    region = cloud.s3_region or (codes[0] if aws and codes else _DEFAULT_REGION)
    endpoint = f"https://s3.{region}.{aws_domain(region)}" if aws else _url(cloud.s3_endpoint, f"{field}.s3_endpoint")
    return Location(
        endpoint=endpoint,
        bucket=cloud.s3_bucket, region=region, style=cloud.s3_style, ca=cloud.s3_ca, verify=not cloud.s3_insecure_ssl,
        lock_days=cloud.s3_lock_days, aws=aws,
    )  # fmt: skip


def open_store(
    cloud: CloudConfig, settings: Settings, *, patience: float = 60, environ: Mapping[str, str] = os.environ
) -> S3:
    """The store, by the control plane's own keys; nothing is connected yet. Raises as :func:`location_of`."""
    from ccx.storage.s3 import S3

    location = location_of(cloud)
    proxy = _checked(cloud, location, settings)
    return S3(location, credentials_of(cloud, environ), proxy=proxy, patience=patience)


def open_shelf(cloud: CloudConfig, settings: Settings, *, environ: Mapping[str, str] = os.environ) -> Shelf:
    """The same store for the control plane's own copy, in little memory where there are keys to sign with."""
    location, keys = location_of(cloud), credentials_of(cloud, environ)
    if keys is None:  # the machine's role: boto3 knows how to ask for that
        return open_store(cloud, settings, patience=0, environ=environ)
    from ccx.storage.light import LightS3

    return LightS3(location, keys, endpoints.of_copy(cloud, settings), settings)


def open_access(cloud: CloudConfig, settings: Settings, *, environ: Mapping[str, str] = os.environ) -> IamAccess:
    """What gives datastores keys of their own there."""
    from ccx.storage.access import IamAccess

    location, declared = location_of(cloud), endpoints.of_access(cloud, settings)
    address = parse_url(
        f"https://{aws_iam(location.region)}" if location.aws else location.endpoint, field="s3_endpoint"
    )
    declared.check(address.host, address.port or 443, settings)
    proxy = settings.egress_proxy if declared.proxied else ""
    return IamAccess(location, credentials_of(cloud, environ), proxy=proxy)


def credentials_of(cloud: CloudConfig, environ: Mapping[str, str] = os.environ) -> Credentials | None:
    """From ``s3_credentials``, or else the environment; None on AWS, where the machine may have a role."""
    code = prefix(cloud.code)
    if cloud.s3_credentials is not None:
        return _read(cloud.s3_credentials, f"clouds.{cloud.code}.s3_credentials")
    access, secret = environ.get(f"{code}_S3_ACCESSKEY", ""), environ.get(f"{code}_S3_SECRETKEY", "")
    if access and secret:
        return Credentials(access, secret)
    if not cloud.s3_endpoint:
        return None
    raise Invalid(
        f"there are no keys for the object store of the cloud {cloud.code!r}",
        field=f"clouds.{cloud.code}.s3_credentials",
        remedy=f"Name their file in s3_credentials, or set {code}_S3_ACCESSKEY and {code}_S3_SECRETKEY",
    )


def _read(file: Path, field: str) -> Credentials:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        words = file.read_text().split()
    except OSError as error:
        raise Invalid(f"{file} can't be read: {error.strerror}", field=field, remedy="Correct the path") from None
    if mode & 0o077:
        raise Invalid(f"{file} has mode {mode:04o}: others may read the keys", field=field, remedy=f"chmod 600 {file}")
    if len(words) != 2:
        raise Invalid(f"{file} holds no two keys", field=field, remedy="Write access key and secret key, a line each")
    return Credentials(*words)


def _url(endpoint: str, field: str) -> str:
    """boto3 wants a scheme, and operators may leave it out."""
    address = parse_url(endpoint, field=field)
    host = f"[{address.host}]" if ":" in address.host else address.host
    scheme = "http" if endpoint.startswith("http://") else "https"
    return f"{scheme}://{host}" + (f":{address.port}" if address.port not in (None, 80, 443) else "")


def _checked(cloud: CloudConfig, location: Location, settings: Settings) -> str:
    """The proxy to go by; empty: none. Raises UndeclaredConnection for a store that the contract doesn't know."""
    address = parse_url(location.endpoint, field="s3_endpoint")
    hosts = [address.host] + ([f"{location.bucket}.{address.host}"] if location.style == "virtual" else [])
    declared = endpoints.of(cloud, settings)
    for host in hosts:
        declared.check(host, address.port or 443, settings)
    return settings.egress_proxy if declared.proxied else ""
