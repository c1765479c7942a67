"""MariaDB with Galera is an engine like any other."""

from __future__ import annotations

import pytest
from tests.e2e.mariadb_application import MariaDbApplication
from tests.engine_conformance import EngineConformance

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class GaleraApplication(MariaDbApplication):
    listens = frozenset({22, 3306, 4567, 8008})
    """4568 and 4444 only while a member is being brought up to date."""
    rows = frozenset({
        "cmon.ssh", "mariadb.keeper", "node.control-plane", "node.dns-udp", "mariadb.peers.keeper", "galera.peers",
    })  # fmt: skip
    units = frozenset({"ccx-mariadb.service"})
    forbidden = (
        *MariaDbApplication.forbidden, "set global wsrep_on = off", "set global wsrep_desync = on",
        "select * from mysql.ccx_writer", "create table apart (n int) engine = myisam",
    )  # fmt: skip
    forbidden_to_the_first = (
        *MariaDbApplication.forbidden_to_the_first, "set session wsrep_on = off", "set global wsrep_desync = on",
        "set global wsrep_cluster_address = 'gcomm://'", "update mysql.ccx_writer set label = 'n9g9'",
    )  # fmt: skip


class TestGalera(EngineConformance):
    application = GaleraApplication()
    topology = "galera"
