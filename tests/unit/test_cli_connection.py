"""Connection strings: read back by libpq itself, they say what was put in, whatever characters that has."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from ccx.cli.connection import Connection, Format, Role, environment, passfile_line, written
from ccx.errors import CcxError

ANSWER = {
    "user": "ccxadmin", "password": "Xy7", "database": "defaultdb", "port": 5432, "ca": "PEM",
    "nodes": [{"host": "n1.k7.db.example.net", "address": "10.0.1.1"},
              {"host": "n2.k7.db.example.net", "address": "10.0.1.2"}],
}  # fmt: skip
CA = Path("/home/ada/.config/ccx/ca/k7.pem")

words = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), min_size=1)


def test_a_uri_names_every_node_and_verifies_fully() -> None:
    text = written(Connection.of(ANSWER).parameters(Role.PRIMARY, CA), Format.URI)
    assert text == (
        "postgresql://ccxadmin:Xy7@n1.k7.db.example.net:5432,n2.k7.db.example.net:5432/defaultdb"
        "?hostaddr=10.0.1.1,10.0.1.2&target_session_attrs=read-write&sslmode=verify-full"
        "&sslrootcert=/home/ada/.config/ccx/ca/k7.pem&connect_timeout=3"
    )


@pytest.mark.parametrize("form", [Format.URI, Format.KEYWORD])
@given(user=words, password=words, database=words)
def test_libpq_reads_back_what_was_written(form: Format, user: str, password: str, database: str) -> None:
    answer = {**ANSWER, "user": user, "password": password, "database": database}
    parameters = Connection.of(answer).parameters(Role.REPLICA, CA)
    read = conninfo_to_dict(written(parameters, form))
    if form is Format.URI:
        parameters["port"] = "5432,5432"
    assert {key: str(value) for key, value in read.items()} == parameters


@given(password=words)
def test_a_shell_reads_back_what_was_written(password: str) -> None:
    parameters = Connection.of({**ANSWER, "password": password}).parameters(Role.ANY, CA)
    exports = [line for line in shlex.split(written(parameters, Format.ENV)) if line != "export"]
    assert dict(line.split("=", 1) for line in exports) == environment(parameters)


@pytest.mark.parametrize(
    ("role", "attributes"), [(Role.PRIMARY, "read-write"), (Role.REPLICA, "standby"), (Role.ANY, "any")]
)
def test_the_role_decides_which_node_is_taken(role: Role, attributes: str) -> None:
    assert Connection.of(ANSWER).parameters(role, CA)["target_session_attrs"] == attributes


def test_names_are_left_to_the_resolver_when_an_address_is_missing() -> None:
    nodes = [*ANSWER["nodes"][:1], {"host": "n2.k7.db.example.net", "address": ""}]  # type: ignore[index]
    parameters = Connection.of({**ANSWER, "nodes": nodes}).parameters(Role.PRIMARY, CA)
    assert "hostaddr" not in parameters
    assert parameters["host"] == "n1.k7.db.example.net,n2.k7.db.example.net"


def test_a_datastore_without_nodes_can_not_be_connected_to() -> None:
    with pytest.raises(CcxError, match="no node to connect to"):
        Connection.of({**ANSWER, "nodes": []})


def test_a_password_file_escapes_what_separates_its_fields() -> None:
    parameters = Connection.of({**ANSWER, "password": r"a:b\c"}).parameters(Role.PRIMARY, CA)
    assert passfile_line(parameters) == "*:*:*:ccxadmin:a\\:b\\\\c\n"


def test_a_password_is_not_in_a_connections_repr() -> None:
    assert "Xy7" not in repr(Connection.of(ANSWER))
