"""MariaDB 10.11, 11.4 and 11.8: what each is told, where its packages come from, and what can't be ordered."""

from __future__ import annotations

import configparser
from dataclasses import replace

import pytest
from tests.unit.cluster_specs import cluster
from tests.unit.test_network_plan import SETTINGS

from ccx.cmon.engines import get
from ccx.cmon.engines.mysql_family import config
from ccx.cmon.engines.mysql_family.mariadb.flavour import MARIADB as FLAVOUR
from ccx.cmon.engines.mysql_family.mariadb.galera import config as galera
from ccx.errors import Invalid
from ccx.network.mirror.sources import node_packages, node_sources
from ccx.rest import offer
from ccx.rest.cluster_orders import _check_software
from ccx.settings import CloudConfig, Settings
from ccx.settings.vendors import MARIADB

VERSIONS = ("10.11", "11.4", "11.8")
TOPOLOGIES = ("replication", "galera")
SINCE = {"max_binlog_total_size": (11, 4), "slave_connections_needed_for_purge": (11, 4)}
"""Of what we tell servers, that which 10.11 would not start with. ``mariadbd --help`` of 10.11.18 took all the rest."""
ALL = MARIADB.model_copy(update={"versions": VERSIONS})


def told(version: str, topology: str) -> configparser.SectionProxy:
    spec = replace(cluster("n1g1", "n2g1", "n3g1"), vendor="mariadb", version=version, cluster_type=topology)
    node = spec.node("n1g1")
    text = galera.server_text(spec, node) if topology == "galera" else config.server_text(FLAVOUR, spec, node)
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.read_string(text)
    return parsed["mariadbd"]


def offered(image: str) -> Settings:
    cloud = CloudConfig(
        code="local", type="local", name="local", regions=(), instance_types=(), volume_types=(), image=image
    )
    return SETTINGS.model_copy(update={"databases": (ALL,), "clouds": (cloud,)})


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_is_told_what_its_version_knows_and_nothing_newer(version: str, topology: str) -> None:
    known = tuple(int(part) for part in version.split("."))
    for name, since in SINCE.items():
        assert (name in told(version, topology)) == (known >= since), name
    assert set(told("11.8", topology)) - set(told(version, topology)) <= set(SINCE)


@pytest.mark.parametrize("version", VERSIONS)
def test_galera_is_told_nothing_that_it_forbids(version: str) -> None:
    """Semi-synchrony and replicas' settings are those of the other topology; filters would make members differ."""
    found = told(version, "galera")
    assert found["binlog_format"] == "ROW"
    assert found["innodb_autoinc_lock_mode"] == "2"
    assert found["query_cache_size"] == "0"
    assert not [
        name for name in found if name.startswith(("rpl_", "relay_", "replicate_", "binlog_do", "binlog_ignore"))
    ]


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("version", VERSIONS)
def test_packages_of_the_version_and_of_no_other_come_from_its_own_path(version: str, topology: str) -> None:
    (source,) = (
        s for s in node_sources(offered("stock"), "mariadb", version, topology) if s.name == "packages.mariadb"
    )
    assert source.uri == f"http://dlm.mariadb.com/repo/mariadb-server/{version}/repo/{{distribution}}"
    assert source.key_url == "https://supplychain.mariadb.com/MariaDB-Server-GPG-KEY"
    assert dict(source.pins) == {"mariadb-*": f"1:{version}.*", "libmariadb*": f"1:{version}.*"}
    assert {"galera-4", "mariadb-backup", "mariadb-client", "mariadb-server"} <= set(
        node_packages("mariadb", version, topology)
    )


@pytest.mark.parametrize("of_another_vendor", ["17", "8.4", "10.6"])
def test_a_version_of_another_vendor_is_refused_and_those_on_offer_are_named(of_another_vendor: str) -> None:
    with pytest.raises(Invalid) as refused:
        offer.version(ALL, of_another_vendor)
    assert (refused.value.field, refused.value.remedy) == ("general.db_version", "There is: 10.11, 11.4, 11.8")


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_what_the_image_does_not_hold_is_refused_where_nodes_start_from_it(topology: str) -> None:
    engine = get("mariadb", SETTINGS, topology)
    baked, stock = offered("baked").clouds[0], offered("stock").clouds[0]
    _check_software(engine, ALL, "11.8", baked)
    _check_software(engine, ALL, "10.11", stock)
    with pytest.raises(Invalid, match=r"no image that is made here holds MariaDB 10\.11") as refused:
        _check_software(engine, ALL, "10.11", baked)
    assert refused.value.field == "general.db_version"
