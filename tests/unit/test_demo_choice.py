"""What the demonstration can show, and what it says, before anything starts, to who asks for something else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ccx.cmon.engines import get
from ccx.demo.choice import choose
from ccx.errors import Invalid
from ccx.settings import Paths, Settings

SETTINGS = Settings(paths=Paths.of("test"))


@pytest.mark.parametrize(
    ("vendor", "topology", "said", "remedy"),
    [
        ("oracle", "", "nothing to show of 'oracle'", "Choose mariadb or percona or postgres"),
        ("mariadb", "x", "MariaDB has no topology 'x'", "With --vendor mariadb choose replication or galera"),
        ("postgres", "galera", "it is one of --vendor mariadb", "With --vendor postgres choose postgres_streaming"),
        ("percona", "galera", "it is one of --vendor mariadb", "With --vendor percona choose replication"),
        ("mariadb", "postgres_streaming", "it is one of --vendor postgres", "replication or galera"),
    ],
)
def test_what_there_is_not_is_refused_and_what_there_is_is_named(
    vendor: str, topology: str, said: str, remedy: str
) -> None:
    with pytest.raises(Invalid) as refused:
        choose(vendor, topology)
    assert said in refused.value.err
    assert remedy in refused.value.remedy


def test_the_program_says_so_and_starts_nothing() -> None:
    words = [sys.executable, "-m", "ccx.demo", "--vendor", "oracle", "--down"]
    told = subprocess.run(words, capture_output=True, text=True, check=False)
    assert told.returncode == 2
    assert told.stdout == ""
    assert "script/demo: error: --vendor: there is nothing to show of 'oracle'" in told.stderr


def test_postgresql_is_shown_as_it_is_offered_without_a_word() -> None:
    choice = choose()
    assert (str(choice), choice.settings()) == ("PostgreSQL 17", ())
    assert choice.order() == ("--vendor", "postgres", "--version", "17")


@pytest.mark.parametrize(
    ("topology", "name", "kind"),
    [
        ("", "MariaDB 11.8", ()),
        ("replication", "MariaDB 11.8", ()),
        ("galera", "MariaDB 11.8 (Galera)", ("--type", "galera")),
    ],
)
def test_of_mariadb_the_topology_is_ordered_that_was_asked_for(topology: str, name: str, kind: tuple[str, ...]) -> None:
    choice = choose("mariadb", topology)
    assert str(choice) == name
    assert choice.order() == ("--vendor", "mariadb", "--version", "11.8", *kind)
    assert choice.settings() == ("--set", "databases=[postgres, mariadb]")
    assert get("mariadb", SETTINGS, choice.topology.code).promise(3)


def test_in_percona_servers_place_mysql_is_shown_and_says_so() -> None:
    choice = choose("percona")
    assert str(choice) == "MySQL 9.7, in Percona Server's place"
    assert choice.order() == ("--vendor", "percona", "--version", "9.7")
    assert choice.settings() == ("--set", 'databases=[postgres, {code: percona, name: MySQL, versions: ["9.7"]}]')
    assert get("percona", SETTINGS, choice.topology.code).promise(3)
