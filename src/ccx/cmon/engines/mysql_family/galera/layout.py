"""What differs on a node from one with replicas: ports, scripts, files."""

from __future__ import annotations

from dataclasses import replace

from ccx.cmon.engines.mysql_family.layout import VOLUME
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB

SST, GROUP, IST = 4444, 4567, 4568
START_SCRIPT, KEEPER_SCRIPT = "galera_start.py", "galera_keeper.py"
VIEW_FILE = VOLUME / "view.json"
"""Which group it belonged to last."""
BOOTSTRAP_FILE = VOLUME / "bootstrap"
"""Made by a person: this node's data shall be everybody's."""

DOMAIN, OWN_DOMAIN = 0, 1
"""Of the group's transactions, and of a member's own.

The group's has to be 0: a member that joins with nothing left to be sent numbers them in that one, whatever is set.
"""

FLAVOUR = replace(
    MARIADB, name="MariaDB with Galera", copy=(*MARIADB.copy, "--galera-info"), domain=DOMAIN, group=True
)  # fmt: skip
