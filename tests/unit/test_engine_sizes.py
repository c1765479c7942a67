"""What is shown of a node's size is what it is told, and grows with it. That it fits is tested with each engine."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from tests.unit.cluster_specs import cluster

from ccx.cmon.engines import get
from ccx.cmon.engines.mysql_family import config as family
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB
from ccx.cmon.engines.mysql_family.mariadb.galera import config as galera
from ccx.cmon.engines.mysql_family.percona import config as percona
from ccx.cmon.engines.mysql_family.percona.galera import config as xtradb_cluster
from ccx.cmon.engines.postgres import config as postgres
from ccx.cmon.spec import ClusterSpec
from ccx.settings import Paths, Settings

KINDS = {
    ("postgres", "postgres_streaming"): lambda spec: postgres.node_files(spec, "n1g1"),
    ("mariadb", "replication"): lambda spec: family.node_files(MARIADB, spec, "n1g1"),
    ("mariadb", "galera"): lambda spec: galera.node_files(spec, "n1g1"),
    ("percona", "replication"): lambda spec: percona.node_files(spec, "n1g1"),
    ("percona", "galera"): lambda spec: xtradb_cluster.node_files(spec, "n1g1"),
}


def shown(vendor: str, topology: str, memory_mib: int, cpus: int) -> dict[str, str]:
    return get(vendor, Settings(paths=Paths.of("test")), topology).parameters(memory_mib, cpus)


def of_size(vendor: str, topology: str, memory_mib: int, cpus: int) -> ClusterSpec:
    spec = cluster("n1g1", "n2g1", "n3g1")
    return replace(spec, vendor=vendor, cluster_type=topology, version="11.8", memory_mib=memory_mib, cpus=cpus)


@pytest.mark.parametrize(("memory", "cpus"), [(1024, 1), (4096, 2), (256 * 1024, 64)])
@pytest.mark.parametrize(("vendor", "topology"), KINDS)
def test_what_is_shown_is_what_the_node_is_told(vendor: str, topology: str, memory: int, cpus: int) -> None:
    files = KINDS[vendor, topology](of_size(vendor, topology, memory, cpus))
    told = "\n".join(file.content for file in files)
    for name, value in shown(vendor, topology, memory, cpus).items():
        assert re.search(rf"\b{re.escape(name)}\W+{re.escape(value)}\b", told), (name, value)


@pytest.mark.parametrize(("vendor", "topology"), KINDS)
def test_a_larger_node_is_told_to_use_more(vendor: str, topology: str) -> None:
    small, large = shown(vendor, topology, 2048, 2), shown(vendor, topology, 32 * 1024, 16)
    assert small.keys() == large.keys()
    assert "max_connections" in small
    assert any("buffer" in name for name in small)
    for name, value in small.items():
        if not name.endswith("work_mem"):  # shared among more connections
            assert _number(large[name]) >= _number(value), name


def _number(value: str) -> int:
    return int(value.rstrip("kMGB"))
