"""MariaDB as a vendor: what is the same in every topology."""

from __future__ import annotations

from ccx.cmon.engines.base import Software

VENDOR = "mariadb"
IMAGE = "baked-mariadb"
BAKED = ("11.8",)
"""What that image holds."""
VERBS = "mariadb"

# Its services run under units of ours.
SOFTWARE = Software(off=("etcd", "mariadb", "nftables", "prometheus-node-exporter", "rsync"))
