"""What is on offer, and in which words it may be asked for."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccx.cmon.engines import get
from ccx.cmon.engines.base import Engine, Engines
from ccx.errors import Invalid
from ccx.rest import names, offer
from ccx.rest.deploy_wizard import wizard_of
from ccx.settings import CloudConfig, Database, InstanceType, Paths, Region, Settings, TypeOfCluster, VolumeType
from ccx.settings.vendors import MARIADB as MARIADB_ON_OFFER

CLOUD = CloudConfig(
    code="North",
    type="simulated",
    name="North",
    regions=(Region(code="osl", name="Oslo"),),
    instance_types=(InstanceType(code="small", name="Small", type="c2m4", cpu=2, ram=4),),
    volume_types=(VolumeType(code="ssd", name="SSD"),),
)
PERCONA = Database(
    code="percona",
    name="Percona",
    versions=("8.0", "8.4"),
    num_nodes=(1, 3),
    types=(TypeOfCluster(code="galera", name="Galera"), TypeOfCluster(code="replication", name="Replication")),
)
SETTINGS = Settings(paths=Paths(etc=Path("/e"), var=Path("/v"), run=Path("/r")), clouds=(CLOUD,), databases=(PERCONA,))


REPLICATION = TypeOfCluster(code="replication", name="Replication")
MARIADB = MARIADB_ON_OFFER.model_copy(
    update={"num_nodes": (1, 2, 3, 5), "types": (TypeOfCluster(code="galera", name="Galera"), REPLICATION)}
)


def no_engine(vendor: str, topology: str = "") -> Engine:
    raise Invalid(f"there is no engine for {vendor!r}")


def of(settings: Settings) -> Engines:
    return lambda vendor, topology="": get(vendor, settings, topology)


def test_of_what_settings_name_only_that_is_shown_which_an_engine_makes() -> None:
    sharded = PERCONA.model_copy(update={"types": (TypeOfCluster(code="sharded", name="Sharded"), REPLICATION)})
    settings = SETTINGS.model_copy(update={"databases": (sharded, MARIADB)})

    percona, vendor = wizard_of(settings, of(settings)).database.vendors

    assert [kind.code for kind in percona.types] == ["replication"]
    assert (vendor.code, vendor.version, vendor.speaks) == ("mariadb", "11.8", "mysql")
    assert [(kind.code, list(kind.promises)) for kind in vendor.types] == [
        ("galera", [1, 3, 5]), ("replication", [1, 2, 3]),
    ]  # fmt: skip
    assert vendor.num_nodes == [1, 2, 3], "of its usual topology"
    assert "no automatic failover" in vendor.promises[2]
    assert "highly available" in vendor.promises[3]


def test_a_topology_that_no_engine_makes_is_refused_though_settings_name_it() -> None:
    named = MARIADB.model_copy(update={"types": (TypeOfCluster(code="sharded", name="Sharded"), REPLICATION)})
    made = of(SETTINGS)
    assert {offer.cluster_type(named, word, made) for word in ("", "MariaDB", "replication")} == {"replication"}
    with pytest.raises(Invalid) as refused:
        offer.cluster_type(named, "sharded", made)
    assert (refused.value.field, refused.value.remedy) == ("general.cluster_type", "There is: replication")


def test_galera_is_made_where_settings_name_it_and_is_not_on_offer_otherwise() -> None:
    for named in (MARIADB, PERCONA):
        assert offer.cluster_type(named, "galera", of(SETTINGS)) == "galera"
        with pytest.raises(Invalid):
            offer.cluster_type(named.model_copy(update={"types": (REPLICATION,)}), "galera", of(SETTINGS))


def test_clouds_are_shown_in_lower_case_under_every_key_and_found_in_any() -> None:
    shown = wizard_of(SETTINGS, no_engine)
    assert shown.cloud.cloud_providers[0].code == "north"
    keys = (
        shown.instance.instance_sizes, shown.instance.volume_types, shown.instance.volume_sizes,
        shown.network.network, shown.network.availability_zones,
    )  # fmt: skip
    assert [list(key) for key in keys] == [["north"]] * 5
    assert {offer.cloud(SETTINGS, word).code for word in ("north", "North", "NORTH")} == {"North"}


def test_mysql_means_percona_and_its_default_is_replication_though_it_is_not_the_first() -> None:
    database = offer.vendor(SETTINGS, "MySQL")
    assert database is PERCONA

    def both(vendor: str, topology: str = "") -> Engine:
        return get("postgres", SETTINGS)

    words = ("", "mysql", "percona", "Replication")
    assert {offer.cluster_type(database, word, both) for word in words} == {"replication"}
    assert offer.cluster_type(database, "galera", both) == "galera"
    assert [offer.version(database, word) for word in ("", "latest", "8.0")] == ["8.4", "8.4", "8.0"]


def test_an_instance_is_found_by_its_code_and_by_the_clouds_word() -> None:
    assert offer.instance(CLOUD, "SMALL") is offer.instance(CLOUD, "c2m4")


@given(st.text(max_size=80))
def test_a_datastores_name_that_is_taken_is_short_printable_and_not_reserved(name: str) -> None:
    with contextlib.suppress(Invalid):
        names.check_datastore(name, "name")
        assert 1 <= len(name) <= 63
        assert name.isascii()
        assert name.isprintable()
        assert name == name.strip()
        assert name.lower() not in names.RESERVED_DATASTORES


@given(st.text(max_size=80))
def test_an_identifier_that_is_taken_needs_no_quoting(name: str) -> None:
    with contextlib.suppress(Invalid):
        names.check_identifier(name, names.RESERVED_USERS, ("sim_",), "name")
        assert name.replace("_", "a").isalnum()
        assert not name.lower().startswith("sim_")
        assert name.isascii()
        assert not name[0].isdigit()


@pytest.mark.parametrize(
    ("vendor", "topology", "taken"),
    [
        ("postgres", "", False), ("mariadb", "replication", True), ("mariadb", "galera", True), ("percona", "", True),
        ("percona", "galera", True),
    ],
)  # fmt: skip
def test_a_name_is_refused_by_the_vendor_whose_own_it_looks_like(vendor: str, topology: str, taken: bool) -> None:
    beginnings = get(vendor, SETTINGS, topology).reserved_beginnings
    with contextlib.nullcontext() if taken else pytest.raises(Invalid, match="'pg_stats' is reserved"):
        names.check_identifier("pg_stats", frozenset(), beginnings, "name")


@pytest.mark.parametrize("name", ["orders", "Orders 2", "a", "x" * 63, "a.b_c-d"])
def test_ordinary_names_are_taken(name: str) -> None:
    names.check_datastore(name, "name")
