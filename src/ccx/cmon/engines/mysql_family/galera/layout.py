"""What differs on a node from one with replicas: ports, scripts, files."""

from __future__ import annotations

from ccx.cmon.engines.mysql_family.layout import VOLUME

SST, GROUP, IST = 4444, 4567, 4568
START_SCRIPT, KEEPER_SCRIPT = "galera_start.py", "galera_keeper.py"
VIEW_FILE = VOLUME / "view.json"
"""Which group it belonged to last."""
BOOTSTRAP_FILE = VOLUME / "bootstrap"
"""Made by a person: this node's data shall be everybody's."""
