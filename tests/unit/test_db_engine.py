"""A database that is silent is given up after seconds, unless the operator's DSN says otherwise."""

from __future__ import annotations

from ccx.db.engine import make_engine
from ccx.jobs.connections import parameters

ELSEWHERE = "postgresql+psycopg://ccx@db.corp:5432/ccx?sslmode=verify-full"


def test_a_silent_database_is_given_up() -> None:
    engine = make_engine(ELSEWHERE)
    _, given = engine.dialect.create_connect_args(engine.url)
    assert int(given["connect_timeout"]) <= 10
    assert int(given["tcp_user_timeout"]) <= 10_000
    assert given["sslmode"] == "verify-full"


def test_the_runners_own_connections_give_up_as_well() -> None:
    assert parameters(make_engine(ELSEWHERE))["connect_timeout"]


def test_what_the_dsn_says_holds() -> None:
    url = make_engine(f"{ELSEWHERE}&connect_timeout=60").url
    assert url.query["connect_timeout"] == "60"
    assert url.query["tcp_user_timeout"]


def test_a_unix_socket_stays_one() -> None:
    url = make_engine("postgresql+psycopg://ccx@/ccx?host=/run/ccx/default/postgresql").url
    assert url.query["host"] == "/run/ccx/default/postgresql"
    assert url.host is None
