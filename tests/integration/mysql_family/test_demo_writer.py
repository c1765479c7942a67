"""The demonstration's writer, on a real MariaDB or MySQL with TLS that crashes, hangs, is read-only and comes back."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.mariadb_rig import PASSWORD, MySqlRig, Rig
from tests.ports import free_ports

from ccx import pki
from ccx.demo import Writer
from ccx.demo.client import select
from ccx.demo.mariadb import MariaDb
from ccx.demo.mysql import MySql

NAME = "n1.example"


class Server:
    """One server, that ends as a machine does that loses its power."""

    def __init__(self, rig: Rig, port: int, ca: Path) -> None:
        self.rig = rig
        self.client = MySql() if isinstance(rig, MySqlRig) else MariaDb()
        self.node: dict[str, Any] = {
            "host": NAME, "address": "127.0.0.1", "port": port, "user": "writer", "password": PASSWORD,
            "database": "shop", "ca": str(ca),
        }  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = self.rig.start()

    def crash(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def writer(self, table: str, *others: dict[str, Any]) -> Writer:
        return Writer([*others, self.node], table, client=self.client)

    def lost(self, writer: Writer) -> list[int]:
        with self.client.connect(self.node) as session:
            return writer.lost(session)


@pytest.fixture(scope="module", params=[Rig, pytest.param(MySqlRig, marks=pytest.mark.slow)])
def kind(request: pytest.FixtureRequest) -> type[Rig]:
    found: type[Rig] = request.param
    return found


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[pki.KeyPair, Path]:
    """With the file in which clients find it."""
    made = pki.new_ca("writer's")
    file = tmp_path_factory.mktemp("ca") / "ca.crt"
    file.write_text(made.certificate)
    return made, file


@pytest.fixture
def make(kind: type[Rig], root: Path, ca: tuple[pki.KeyPair, Path]) -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def new(name: str, **settings: str) -> Server:
        rig, port = kind(root, name), free_ports(1)
        pair = pki.issue(ca[0], NAME, [NAME], valid=timedelta(days=1))
        without = {} if kind is MySqlRig else {"ssl": "OFF"}
        tls = without if settings.pop("tls", "yes") == "no" else {
            "ssl_cert": f"/srv/{name}/run/node.crt", "ssl_key": f"/srv/{name}/run/node.key",
            "ssl_ca": f"/srv/{name}/run/ca.crt",
        }  # fmt: skip
        rig.lay_out(skip_networking="OFF", bind_address="127.0.0.1", port=str(port), **tls, **settings)
        for file, text in (("node.crt", pair.certificate), ("node.key", pair.key), ("ca.crt", ca[0].certificate)):
            (rig.home / "run" / file).write_text(text)
        rig.run("chown", "-R", "mysql:mysql", f"/srv/{name}/run", user="root")
        rig.initialise()
        server = Server(rig, port, ca[1])
        made.append(server)
        server.start()
        rig.sql(
            "create database shop; create user writer@'%' identified by '" + PASSWORD + "';"
            " grant all on shop.* to writer@'%'"
        )
        return server

    yield new
    for server in made:
        server.crash()
        shutil.rmtree(server.rig.home)


@pytest.fixture
def dead_node(ca: tuple[pki.KeyPair, Path]) -> Iterator[dict[str, Any]]:
    """A node that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        yield {
            "host": NAME, "address": "127.0.0.1", "port": silent.getsockname()[1], "user": "writer", "password": "any",
            "database": "shop", "ca": str(ca[1]),
        }  # fmt: skip


async def test_a_crash_of_the_server_loses_nothing_that_was_acknowledged(make: Callable[..., Server]) -> None:
    server = make("crash", innodb_flush_log_at_trx_commit="1", sync_binlog="1")
    with server.writer("crash") as writer:
        writer.wait_for(50, timeout=20)
        server.crash()
        server.start()
        writer.wait_for(50, timeout=60)
    assert server.lost(writer) == []
    assert writer.overlapping_primaries() == []
    numbers = [one.number for one in writer.acknowledged]
    assert numbers == sorted(set(numbers))
    with server.client.connect(server.node) as session:
        select(session, "delete from crash where number = 7")
    assert server.lost(writer) == [7]


async def test_a_node_that_does_not_answer_delays_nothing_and_a_read_only_one_is_told(
    make: Callable[..., Server], dead_node: dict[str, Any]
) -> None:
    server = make("choice")
    with server.writer("choice", dead_node) as writer:
        writer.wait_for(20, timeout=20)
        server.rig.sql("set global read_only = on")
        with pytest.raises(TimeoutError, match="it is read-only"):
            writer.wait_for(1000, timeout=4)
        server.rig.sql("set global read_only = off")
        writer.wait_for(20, timeout=20)
    assert server.lost(writer) == []


async def test_a_server_that_is_stuck_does_not_keep_the_writer_from_stopping(make: Callable[..., Server]) -> None:
    server = make("stuck")
    with server.writer("stuck") as writer:
        writer.wait_for(5, timeout=20)
        with server.client.connect(server.node) as session:
            select(session, "lock tables stuck write")
            with pytest.raises(TimeoutError, match="not acknowledged within 2 s"):
                writer.wait_for(2, timeout=2)
            writer.stop()
            assert writer.unacknowledged
    assert server.lost(writer) == []


async def test_a_dropped_table_is_told_and_so_is_the_transaction_that_dropped_it(make: Callable[..., Server]) -> None:
    server = make("dropped")
    client = server.client
    with suppress(client.no_table), server.writer("dropped") as writer:
        writer.wait_for(5, timeout=20)
        dropped = client.drop(server.node, "dropped")
        with pytest.raises(client.no_table, match="dropped' doesn't exist"):
            writer.wait_for(1, timeout=10)
    assert dropped.before == ("--to-lsn", server.rig.last(server.rig.position()))


@pytest.mark.parametrize("wrong", ["no TLS", "name"])
async def test_nothing_is_said_to_a_server_whose_certificate_is_not_verified(
    make: Callable[..., Server], wrong: str
) -> None:
    server = make("plain", tls="no") if wrong == "no TLS" else make("other")
    node = {**server.node, "host": "n2.example"} if wrong == "name" else server.node
    with pytest.raises(TimeoutError, match="SSL is required" if wrong == "no TLS" else "n2.example"):
        Writer([node], "any", client=MariaDb()).start(timeout=3)
    with pytest.raises(MariaDb.errors), MariaDb().connect(node):
        pass
