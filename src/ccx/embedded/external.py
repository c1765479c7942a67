"""A database or a NATS of the operator's own, elsewhere: are the settings right, and which destinations are outside?"""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ccx.embedded.layout import USER, Layout
from ccx.errors import CcxError, Invalid
from ccx.network.hosts import is_address, is_loopback
from ccx.network.kinds import Plane
from ccx.network.plan import Plan
from ccx.network.render.nftables import egress
from ccx.settings import Settings

_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_CHECKED = "verify-full"
_FILES = {"sslrootcert": False, "sslcert": False, "sslkey": True, "passfile": True}
"""Files that a DSN may name, and whether they hold a secret."""


@dataclass(frozen=True)
class Destination:
    """A host outside of the instance's network that the plan lets the control plane connect to."""

    host: str
    port: int
    needed_by: str
    """The row's id."""
    vital: bool = True
    """The control plane can't run without one of the row's hosts. Without an object store, backups fail."""


def destinations(plan: Plan, layout: Layout) -> tuple[Destination, ...]:
    """Where the way out has to lead; none: the control plane stays on this machine. Wildcards can't be looked up."""
    found: dict[Destination, None] = {}
    for row in egress(plan, Plane.CONTROL):
        for host in row.hosts if row.group is None else ():
            if not (is_loopback(host) or host.startswith("*.") or _is_ours(host, layout)):
                found[Destination(host, row.port, row.id, row.plane is Plane.INTERNAL)] = None
    return tuple(found)


def settle(found: Iterable[Destination], problems: Mapping[Destination, CcxError]) -> list[str]:
    """What there is to warn of. Raises the first problem of a vital row none of whose hosts is all right.

    A restart must not wait for what can be done without: one server of a cluster, or the object store.
    """
    good = {one.needed_by for one in found if one not in problems}
    for one, problem in problems.items():
        if one.vital and one.needed_by not in good:
            raise problem
    return [str(problem) for problem in problems.values()]


def check(settings: Settings, layout: Layout) -> list[str]:
    """What is unwise about an external database or NATS, one line each. Raises Invalid for what can't work."""
    return [*_check_database(settings, layout), *_check_nats(settings, layout)]


def _check_database(settings: Settings, layout: Layout) -> list[str]:
    if settings.dsn == layout.dsn:
        return []
    url = urlsplit(settings.dsn)
    if url.scheme != "postgresql+psycopg":
        raise Invalid(
            f"the DSN's scheme is {url.scheme!r}",
            field="dsn",
            remedy="Write postgresql+psycopg://user@host:5432/database?sslmode=verify-full&sslrootcert=…",
        )
    _refuse_loopback(url.hostname, "dsn", "PostgreSQL")
    options = {name: values[-1] for name, values in parse_qs(url.query).items()}
    mode = options.get("sslmode", "prefer")
    if mode not in _SSLMODES:
        raise Invalid(f"sslmode={mode} is none", field="dsn", remedy=f"One of: {', '.join(_SSLMODES)}")
    for name, secret in _FILES.items():
        if (value := options.get(name)) and not (name == "sslrootcert" and value == "system"):
            _check_file(Path(value), f"dsn, {name}", layout, secret=secret)
    if mode.startswith("verify-") and "sslrootcert" not in options:
        raise Invalid(
            f"sslmode={mode} without sslrootcert",
            field="dsn",
            remedy=f"Put the CA's certificate into {layout.etc} and add &sslrootcert={layout.etc}/database-ca.crt",
        )
    return [] if mode == _CHECKED else [f"dsn: sslmode={mode} does not prove who answers; use sslmode={_CHECKED}"]


def _check_nats(settings: Settings, layout: Layout) -> list[str]:
    if settings.nats_url == layout.nats_url:
        return []
    if len({urlsplit(server).scheme for server in settings.nats_servers}) > 1:
        raise Invalid("some servers by TLS and some without", field="nats_url", remedy="Write tls:// for all of them")
    warnings = []
    for server in settings.nats_servers:
        url = urlsplit(server)
        if url.scheme not in ("nats", "tls"):
            raise Invalid(
                f"NATS by {url.scheme or 'no scheme'}", field="nats_url", remedy="Write nats://host:4222 or tls://…"
            )
        if url.username or url.password:
            raise Invalid(
                "the URL holds a name or password",
                field="nats_url",
                remedy="Put them into a file, a line each, and name it in nats_credentials",
            )
        _refuse_loopback(url.hostname, "nats_url", "NATS")
        if url.scheme == "nats":
            warnings.append(f"nats_url: events and password reach {url.hostname} unencrypted; use tls://")
    for path, field, secret in (
        (settings.nats_credentials, "nats_credentials", True),
        (settings.nats_ca, "nats_ca", False),
    ):
        if path is not None:
            _check_file(path, field, layout, secret=secret)
    return warnings


def _refuse_loopback(host: str | None, field: str, what: str) -> None:
    if host is not None and is_loopback(host):
        raise Invalid(
            f"{host} is the control plane's own network namespace, where no {what} is",
            field=field,
            remedy=f"Let {what} listen on another address of this machine, and name that",
        )


def _check_file(path: Path, field: str, layout: Layout, *, secret: bool) -> None:
    """The parts see their own instance's files only, as the user that they run as."""
    if layout.etc not in path.parents:
        raise Invalid(f"{path} is out of the control plane's sight", field=field, remedy=f"Put it into {layout.etc}")
    try:
        known = path.stat()
    except OSError as error:
        raise Invalid(f"{path}: {error.strerror}", field=field, remedy=f"Put it into {layout.etc}") from None
    user = pwd.getpwnam(USER)
    mode = stat.S_IMODE(known.st_mode)
    readable = (
        (known.st_uid == user.pw_uid and mode & stat.S_IRUSR)
        or (known.st_gid == user.pw_gid and mode & stat.S_IRGRP)
        or mode & stat.S_IROTH
    )
    if not readable:
        raise Invalid(f"user {USER} can't read {path}", field=field, remedy=f"chown {USER}: {path}")
    if secret and mode & 0o077:
        raise Invalid(f"others may read {path}", field=field, remedy=f"chown {USER}: {path}; chmod 600 {path}")


def _is_ours(host: str, layout: Layout) -> bool:
    if not is_address(host):
        return False
    network = ip_network(host, strict=False)
    return isinstance(network, IPv4Network) and network.subnet_of(layout.subnet)


def hosts_of(found: Iterable[Destination]) -> tuple[str, ...]:
    """Their names, without those that are addresses."""
    return tuple(dict.fromkeys(d.host for d in found if not is_address(d.host)))
