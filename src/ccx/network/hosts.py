"""Names, addresses and ports: what is one, and whether one covers another."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ccx.errors import Invalid
from ccx.network.kinds import Protocol

if TYPE_CHECKING:
    from ccx.settings import Settings

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]+(?:%\w+)?(?:/\d+)?")
_PROTOCOLS = {"https": Protocol.HTTPS, "http": Protocol.HTTP}
_AWS_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_PORTS = {"https": 443, "http": 80, "nats": 4222, "tls": 4222, "postgresql": 5432, "ldaps": 636}


@dataclass(frozen=True)
class Address:
    """A host as settings give it: perhaps with its port, and a path where a mirror or proxy wants it."""

    host: str
    port: int | None = None
    path: str = ""
    protocol: Protocol | None = None
    """What is spoken there, where settings say so; otherwise it is as declared."""
    behind: tuple[str, ...] | None = None
    """What stands behind it, where that depends on the settings; otherwise it is as declared."""


@lru_cache(maxsize=4096)
def is_address(host: str) -> bool:
    """Whether it is an IP address or a network, not a name."""
    if not _ADDRESS.fullmatch(host):  # most are names, and this is much cheaper than to fail at parsing one
        return False
    try:
        ip_network(host, strict=False)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def is_loopback(host: str) -> bool:
    """Whether it can only be this machine (this network namespace)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_address(host) and ip_network(host, strict=False).is_loopback


def checked_host(host: str, *, field: str) -> str:
    """The host in lower case, without a final dot. Raises Invalid, naming ``field``, for what is no host."""
    plain = host.strip().rstrip(".").lower()
    if is_address(plain) or (_NAME.fullmatch(plain) and len(plain) <= 253 and not plain.replace(".", "").isdigit()):
        return plain
    raise Invalid(
        f"{host!r} is no host name or address",
        field=field,
        remedy="Write a name or address without scheme, port or path",
    )


def checked_port(port: int, *, field: str) -> int:
    """The port. Raises Invalid, naming ``field``, when there is no such port."""
    if not 1 <= port <= 65535:
        raise Invalid(f"{port} is no port", field=field, remedy="Ports are 1 to 65535")
    return port


def covers(declared: str, host: str) -> bool:
    """Whether the declared name, ``*.wildcard``, address or network includes ``host``."""
    host = host.strip("[]").rstrip(".").lower()
    if declared == host:
        return True
    if declared.startswith("*."):
        return host.endswith(declared[1:])
    if not is_address(declared):
        return False
    try:
        network, address = ip_network(declared, strict=False), ip_address(host)
    except ValueError:
        return False
    return address.version == network.version and address in network


def aws_domain(region: str) -> str:
    """What AWS's names end in. China's regions are a partition with names of its own."""
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def aws_partition(region: str) -> str:
    """Which of AWS's partitions it is of, each of which has users, and names of resources, of its own."""
    return next((found for start, found in _AWS_PARTITIONS.items() if region.startswith(start)), "aws")


def aws_iam(region: str) -> str:
    """Where the region's partition has its IAM: it has one for all regions (docs.aws.amazon.com, "IAM endpoints")."""
    return {"aws-cn": "iam.cn-north-1.amazonaws.com.cn", "aws-us-gov": "iam.us-gov.amazonaws.com"}.get(
        aws_partition(region), "iam.amazonaws.com"
    )


def parse_url(url: str, *, field: str) -> Address:
    """Host, port (the scheme's own when none is written) and path of a URL, which may lack its scheme."""
    try:
        parts = urlsplit(url if "://" in url else f"//{url}")
        port = parts.port
    except ValueError:
        raise _no_url(field) from None
    scheme = parts.scheme.partition("+")[0]
    if not parts.hostname:
        raise _no_url(field)
    host = checked_host(parts.hostname, field=field)
    return Address(host, port or _PORTS.get(scheme), parts.path, _PROTOCOLS.get(scheme))


def from_url(
    get: Callable[[Settings], str], field: str, *, default: str = ""
) -> Callable[[Settings], tuple[Address, ...]]:
    """A declaration's host, taken from a URL in the settings; ``default`` stands in for an unset one.

    The path is left out: a web hook's path is its secret.
    """

    def host(settings: Settings) -> tuple[Address, ...]:
        url = get(settings) or default
        if not url:
            return ()
        parsed = parse_url(url, field=field)
        return (Address(parsed.host, parsed.port, protocol=parsed.protocol),)

    return host


def _no_url(field: str) -> Invalid:
    # Not quoted: a URL may hold a password.
    return Invalid("this is no URL with a host", field=field, remedy="Write it as scheme://host:port/path")
