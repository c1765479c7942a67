"""What differs on a node of a group from one with replicas."""

from __future__ import annotations

from dataclasses import replace

from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB

DOMAIN, OWN_DOMAIN = 0, 1
"""Of the group's transactions, and of a member's own.

The group's has to be 0: a member that joins with nothing left to be sent numbers them in that one, whatever is set.
"""

GALERA = replace(
    MARIADB, name="MariaDB with Galera", copy=(*MARIADB.copy, "--galera-info"), domain=DOMAIN, group=True
)  # fmt: skip
