"""The demo's writer, on a real PostgreSQL that crashes, freezes and comes back."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tests.integration.conftest import Database, PostgresServer

from ccx.demo import Writer


@pytest.fixture
def nodes(database: Database) -> list[dict[str, Any]]:
    """The test's server, as a cluster of one."""
    return [{"host": str(database.server.home), "user": "ccx", "dbname": database.name}]


@pytest.fixture
def dead_node() -> Iterator[dict[str, Any]]:
    """A node that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {"host": "127.0.0.1", "port": silent.getsockname()[1], "user": "ccx", "dbname": "any"}


def connect(database: Database) -> psycopg.Connection[Any]:
    return database.server.connect(database.name)


def crash_and_restart(server: PostgresServer) -> None:
    server.stop(signal.SIGQUIT)
    server.start()


async def test_rows_are_acknowledged_at_about_the_rate_asked_for(
    database: Database, nodes: list[dict[str, Any]]
) -> None:
    with Writer(nodes, "rate", rate=100) as writer:
        writer.wait_for(50, timeout=10)
    acknowledged = writer.acknowledged
    took = acknowledged[-1].acknowledged_at - acknowledged[0].acknowledged_at
    assert len(acknowledged) <= 100 * took + 2
    with connect(database) as connection:
        assert writer.lost(connection) == []


async def test_a_crash_of_the_server_loses_nothing_that_was_acknowledged(
    database: Database, nodes: list[dict[str, Any]]
) -> None:
    with Writer(nodes, "crash") as writer:
        writer.wait_for(20, timeout=10)
        crash_and_restart(database.server)
        writer.wait_for(20, timeout=30)
    with connect(database) as connection:
        assert writer.lost(connection) == []
    assert writer.overlapping_primaries() == []
    numbers = [a.number for a in writer.acknowledged]
    assert numbers == sorted(set(numbers))


async def test_a_lost_row_is_found(database: Database, nodes: list[dict[str, Any]]) -> None:
    with Writer(nodes, "lossy") as writer:
        writer.wait_for(5, timeout=10)
    with connect(database) as connection:
        connection.execute("delete from lossy where number = 3")
        assert writer.lost(connection) == [3]


async def test_a_node_that_does_not_answer_delays_nothing(
    database: Database, nodes: list[dict[str, Any]], dead_node: dict[str, Any]
) -> None:
    with Writer([dead_node, *nodes], "side_by_side") as writer:
        writer.wait_for(5, timeout=10)
        with connect(database) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'ccx-demo-writer'"
            )
        writer.wait_for(20, timeout=10)
    assert writer.gap() < 1


async def test_a_new_writer_goes_on_after_the_highest_number(database: Database, nodes: list[dict[str, Any]]) -> None:
    with Writer(nodes, "again") as first:
        first.wait_for(3, timeout=10)
    with Writer(nodes, "again") as second:
        second.wait_for(3, timeout=10)
    assert second.acknowledged[0].number > first.acknowledged[-1].number


async def test_a_server_that_is_stuck_does_not_keep_the_writer_from_stopping(
    database: Database, nodes: list[dict[str, Any]]
) -> None:
    with Writer(nodes, "stuck") as writer:
        writer.wait_for(5, timeout=10)
        with connect(database) as connection:
            connection.execute("begin")
            connection.execute("lock table stuck in access exclusive mode")
            with pytest.raises(TimeoutError, match="not acknowledged within 2 s"):
                writer.wait_for(2, timeout=2)  # one may still have been under way when the lock was taken
            writer.stop()
            assert writer.unacknowledged
    with connect(database) as connection:
        assert writer.lost(connection) == []


async def test_a_writer_that_no_node_accepts_says_why(dead_node: dict[str, Any], database: Database) -> None:
    nobody = {"host": str(database.server.home), "user": "ccx", "dbname": "no_such_database"}
    with pytest.raises(TimeoutError, match="no_such_database"):
        Writer([nobody, dead_node]).start(timeout=1)
