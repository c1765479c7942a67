"""What XtraDB Cluster's programs and units are called: as Percona Server's, which no node has beside it."""

from __future__ import annotations

from dataclasses import replace

from ccx.cmon.engines.mysql_family.percona.flavour import PERCONA

XTRADB_CLUSTER = replace(PERCONA, name="Percona XtraDB Cluster", group=True)
