"""Sources of a firewall, checked before anything is made."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_interface

from ccx.errors import Invalid


def allowed(sources: Iterable[str] | None) -> list[str]:
    """What ``--allow`` named, each once. Raises :class:`Invalid`."""
    return [checked(source, field="allow") for source in dict.fromkeys(sources or ())]


def checked(source: str, *, field: str = "source") -> str:
    """``source`` as it was written, if it is an IPv4 address or a network without host bits, else :class:`Invalid`."""
    try:
        meant = ip_interface(source)
    except ValueError:
        raise Invalid(
            f"{source!r} is no address or CIDR", field=field, remedy="Give it as 192.0.2.7 or 192.0.2.0/24"
        ) from None
    if meant.version != 4:
        raise Invalid(f"{source} is IPv6; nodes have IPv4 addresses only", field=field, remedy="Give an IPv4 network")
    if meant.ip != meant.network.network_address:
        raise Invalid(f"{source} has host bits set", field=field, remedy=f"Did you mean {meant.network}?")
    return source
