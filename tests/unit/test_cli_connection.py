"""Connection strings: read back by libpq itself they say what was put in; those of MariaDB are read by its client."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from ccx.cli import mysql
from ccx.cli.connection import Connection, Format, Role
from ccx.cli.psql import environment, parameters, passfile_line, written
from ccx.errors import CcxError

ANSWER = {
    "speaks": "postgresql", "primary": "k7.db.example.net", "replicas": "ro.k7.db.example.net",
    "user": "ccxadmin", "password": "Xy7", "database": "defaultdb", "port": 5432, "ca": "PEM",
    "nodes": [{"host": "n1.k7.db.example.net", "address": "10.0.1.1", "role": "replica"},
              {"host": "n2.k7.db.example.net", "address": "10.0.1.2", "role": "primary"}],
}  # fmt: skip
CA = Path("/home/ada/.config/ccx/ca/k7.pem")

words = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)


def test_a_uri_names_every_node_and_verifies_fully() -> None:
    text = written(parameters(Connection.of(ANSWER), Role.PRIMARY, CA), Format.URI)
    assert text == (
        "postgresql://ccxadmin:Xy7@n1.k7.db.example.net:5432,n2.k7.db.example.net:5432/defaultdb"
        "?hostaddr=10.0.1.1,10.0.1.2&target_session_attrs=read-write&sslmode=verify-full"
        "&sslrootcert=/home/ada/.config/ccx/ca/k7.pem&connect_timeout=3"
    )


@pytest.mark.parametrize("form", [Format.URI, Format.KEYWORD])
@given(user=words, password=words, database=words)
def test_libpq_reads_back_what_was_written(form: Format, user: str, password: str, database: str) -> None:
    answer = {**ANSWER, "user": user, "password": password, "database": database}
    values = parameters(Connection.of(answer), Role.REPLICA, CA)
    read = conninfo_to_dict(written(values, form))
    if form is Format.URI:
        values["port"] = "5432,5432"
    assert {key: str(value) for key, value in read.items()} == values


@given(password=words)
def test_a_shell_reads_back_what_was_written(password: str) -> None:
    values = parameters(Connection.of({**ANSWER, "password": password}), Role.ANY, CA)
    exports = [line for line in shlex.split(written(values, Format.ENV)) if line != "export"]
    assert dict(line.split("=", 1) for line in exports) == environment(values)


@pytest.mark.parametrize(
    ("role", "attributes"), [(Role.PRIMARY, "read-write"), (Role.REPLICA, "standby"), (Role.ANY, "any")]
)
def test_the_role_decides_which_node_is_taken(role: Role, attributes: str) -> None:
    assert parameters(Connection.of(ANSWER), role, CA)["target_session_attrs"] == attributes


def test_names_are_left_to_the_resolver_when_an_address_is_missing() -> None:
    nodes = [*ANSWER["nodes"][:1], {"host": "n2.k7.db.example.net", "address": "", "role": "primary"}]  # type: ignore[index]
    values = parameters(Connection.of({**ANSWER, "nodes": nodes}), Role.PRIMARY, CA)
    assert "hostaddr" not in values
    assert values["host"] == "n1.k7.db.example.net,n2.k7.db.example.net"


def test_a_datastore_without_nodes_can_not_be_connected_to() -> None:
    with pytest.raises(CcxError, match="no node to connect to"):
        Connection.of({**ANSWER, "nodes": []})


def test_a_password_file_escapes_what_separates_its_fields() -> None:
    values = parameters(Connection.of({**ANSWER, "password": r"a:b\c"}), Role.PRIMARY, CA)
    assert passfile_line(values) == "*:*:*:ccxadmin:a\\:b\\\\c\n"


def test_a_password_is_not_in_a_connections_repr() -> None:
    assert "Xy7" not in repr(Connection.of(ANSWER))


SHOP = {**ANSWER, "speaks": "mysql", "port": 3306}


def test_mariadbs_client_is_told_the_name_that_follows_the_primary_where_it_resolves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mysql.socket, "getaddrinfo", lambda name, port: [name])
    told = Connection.of(SHOP)
    hosts = [mysql.parameters(told, role, CA)["host"] for role in Role]
    assert hosts == ["k7.db.example.net", "ro.k7.db.example.net", "n1.k7.db.example.net"]


def test_mariadbs_client_is_told_the_address_of_the_node_in_the_role_where_names_do_not_resolve() -> None:
    told = Connection.of({**SHOP, "primary": "k7.invalid", "replicas": "ro.k7.invalid"})
    assert mysql.parameters(told, Role.PRIMARY, CA)["host"] == "10.0.1.2"
    assert mysql.parameters(told, Role.REPLICA, CA)["host"] == "10.0.1.1"
    alone = Connection.of({**SHOP, "replicas": "ro.k7.invalid", "nodes": ANSWER["nodes"][1:]})  # type: ignore[index]
    assert mysql.parameters(alone, Role.REPLICA, CA)["host"] == "10.0.1.2"


def test_a_url_of_mariadb_verifies_the_nodes_name() -> None:
    told = Connection.of({**SHOP, "password": "p@ss/word", "primary": "k7.invalid"})
    assert mysql.written(mysql.parameters(told, Role.PRIMARY, CA), Format.URI) == (
        "mysql://ccxadmin:p%40ss%2Fword@10.0.1.2:3306/defaultdb"
        "?ssl-mode=VERIFY_IDENTITY&ssl-ca=/home/ada/.config/ccx/ca/k7.pem"
    )


def test_a_file_of_options_keeps_what_would_end_a_value_and_verifies_the_nodes_name() -> None:
    told = Connection.of({**SHOP, "password": 'a#b "c" \\d', "primary": "k7.invalid"})
    text = mysql.written(mysql.parameters(told, Role.PRIMARY, CA), Format.KEYWORD)
    assert text.splitlines() == [
        "[client]", 'host="10.0.1.2"', 'port="3306"', 'user="ccxadmin"', 'password="a#b \\"c\\" \\\\d"',
        'ssl-ca="/home/ada/.config/ccx/ca/k7.pem"', 'connect-timeout="3"', "ssl-verify-server-cert", "[mysql]",
        'database="defaultdb"',
    ]  # fmt: skip
