"""Percona as a vendor: what is the same in every topology."""

from __future__ import annotations

from ccx.cmon.engines.base import Software

VENDOR = "percona"
IMAGE = "baked-mysql"
VERBS = "percona"
PLACES = "mysql-gtid"
LONGEST_USER = 32

# Its services run under units of ours, and nobody has asked for its telemetry.
OFF = ("etcd", "mysql", "nftables", "percona-telemetry-agent", "prometheus-node-exporter")


def unconfined(*profiles: str) -> tuple[tuple[str, str], ...]:
    """Files that keep these AppArmor profiles of the packages from being loaded: they know Debian's folders only."""
    return tuple(
        (f"/etc/apparmor.d/disable/{profile}", "Its data and certificates are in CCX's folders.\n")
        for profile in profiles
    )


SOFTWARE = Software(files=unconfined("usr.sbin.mysqld"), off=OFF)
