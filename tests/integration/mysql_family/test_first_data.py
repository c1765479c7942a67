"""The data that a baked image brings along for a new cluster's servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.mariadb_rig import CanNotBeHad, Rig, programs

_MAKE = """
import sys
sys.path.insert(0, "/usr/lib/ccx-agent")
from pathlib import Path
from ccx_agent.mariadb_fresh import make
make(Path(sys.argv[1]))
"""
_IMAGE = "usr/lib/ccx-first/mariadb"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    try:
        with programs() as found:
            yield found
    except CanNotBeHad as error:
        pytest.skip(f"NOT RUN: no MariaDB: {error}")


def made(root: Path, name: str) -> Rig:
    """A server's first data, made as a node makes them."""
    one = Rig(root, name)
    one.home.mkdir()
    one.lay_out()
    one.run("python3", "-I", "-c", _MAKE, f"/srv/{name}/data")
    return one


def from_image(one: Rig) -> bool:
    """By a file that only the image's data have; the server pays no heed to it."""
    return (one.home / "data" / "marked").exists()


@pytest.fixture(scope="module")
def marked(root: Path) -> None:
    (root / _IMAGE / "marked").touch()


@pytest.mark.usefixtures("marked")
def test_a_server_starts_with_a_copy_of_them_and_lets_in_only_who_is_on_the_machine(root: Path) -> None:
    one = made(root, "first")
    assert from_image(one)
    with one.running():
        one.sql("create database shop; create table shop.kept (n int); insert into shop.kept values (1)")
        passwords = "select count(*) from mysql.global_priv where json_value(priv, '$.authentication_string') not in {}"
        assert one.sql(passwords.format("('', 'invalid')")) == "0"
        others = "select count(*) from mysql.global_priv where user not in ('root', 'mysql', 'mariadb.sys')"
        assert one.sql(others) == "0"
        assert one.sql("show databases like 'test'") == ""


@pytest.mark.usefixtures("marked")
def test_those_that_another_release_made_are_left_alone(root: Path) -> None:
    note = root / f"{_IMAGE}.version"
    said = note.read_text()
    note.write_text(said.replace("11.", "10."))
    try:
        assert not from_image(made(root, "other"))
    finally:
        note.write_text(said)
