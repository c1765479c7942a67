"""Sources of a firewall, checked before anything is made."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

from ccx.errors import Invalid


def checked(source: str, *, field: str = "source") -> str:
    """``source`` as it was written, if it is an address or a network without host bits. Raises :class:`Invalid`."""
    try:
        ip_network(source)
        return source
    except ValueError:
        pass
    try:
        network = ip_interface(source).network
    except ValueError:
        raise Invalid(
            f"{source!r} is no address or CIDR", field=field, remedy="Give it as 192.0.2.7 or 192.0.2.0/24"
        ) from None
    raise Invalid(f"{source} has host bits set", field=field, remedy=f"Did you mean {network}?")
