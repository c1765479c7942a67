"""Writes numbered rows to MariaDB and remembers which were acknowledged, whichever node accepts them."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql

TABLE = "numbered"
_PAUSE_S = 0.01
_ANSWER_S = 3

Parameters = dict[str, Any]
"""PyMySQL's, of one node; ``address``: where its ``host``, which is verified, is."""


def parameters(told: Mapping[str, Any], **changed: Any) -> list[Parameters]:
    """For each node of a connection's answer, with its certificate verified."""
    trust = ssl.create_default_context(cadata=told["ca"])
    common = {
        "user": told["user"], "password": told["password"], "database": told["database"], "port": told["port"],
        "ssl": trust,
    }  # fmt: skip
    return [{**common, "host": node["host"], "address": node["address"], **changed} for node in told["nodes"]]


def connect(parameters: Parameters) -> pymysql.Connection[Any]:
    """Raises pymysql.MySQLError, or OSError where nothing answers."""
    known = {"autocommit": True, "connect_timeout": 2, "read_timeout": _ANSWER_S, "write_timeout": _ANSWER_S}
    own = known | parameters
    address = own.pop("address", own.get("host"))
    connection = pymysql.connect(**own, defer_connect=True)
    connection.connect(socket.create_connection((address, own["port"]), own["connect_timeout"]))
    return connection


def select(parameters: Parameters, statement: str) -> list[tuple[Any, ...]]:
    """All rows. Raises pymysql.MySQLError."""
    with connect(parameters) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


@dataclass
class Writer:
    """As an application that knows all nodes: it goes on with the next one when one refuses or is silent."""

    nodes: list[Parameters]
    acknowledged: list[tuple[int, float, int]] = field(default_factory=list)
    """Number, when (monotonic), and which node took it."""
    table: str = TABLE
    _next: int = 1
    _done: threading.Event = field(default_factory=threading.Event)
    _ended: threading.Event = field(default_factory=threading.Event)

    def make_table(self) -> None:
        """On whichever node is the primary."""
        for node in self.nodes:
            with contextlib.suppress(pymysql.MySQLError, OSError):
                select(node, f"drop table if exists {self.table}")
                select(node, f"create table {self.table} (number bigint primary key, node int)")
                return
        raise AssertionError("no node accepts writes")

    @contextmanager
    def running(self) -> Iterator[Writer]:
        thread = threading.Thread(target=self._write, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.stop()

    def stop(self) -> None:
        """Returns when the last write has been answered, or given up."""
        self._done.set()
        assert self._ended.wait(20), "a write hangs"

    def _write(self) -> None:
        try:
            self._write_on()
        finally:
            self._ended.set()

    def _write_on(self) -> None:
        at = 0
        while not self._done.is_set():
            try:
                with connect(self.nodes[at]) as connection, connection.cursor() as cursor:
                    while not self._done.is_set():
                        number, self._next = self._next, self._next + 1
                        cursor.execute(f"insert into {self.table} values (%s, %s)", (number, at))
                        self.acknowledged.append((number, time.monotonic(), at))
                        time.sleep(_PAUSE_S)
            except (pymysql.MySQLError, OSError):
                at = (at + 1) % len(self.nodes)
                time.sleep(_PAUSE_S)

    def lost(self, node: Parameters) -> list[int]:
        """Acknowledged numbers that are not on that node."""
        there = {row[0] for row in select(node, f"select number from {self.table}")}
        return [number for number, _, _ in self.acknowledged if number not in there]

    def gap(self) -> float:
        """The longest time between two acknowledgements, in seconds."""
        times = [at for _, at, _ in self.acknowledged]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def since(self, moment: float) -> int:
        """How many were acknowledged after that moment."""
        return sum(1 for _, at, _ in self.acknowledged if at > moment)


@dataclass
class Watch:
    """Asks every node all the time whether it accepts writes."""

    nodes: list[Parameters]
    seen: dict[int, list[tuple[float, float, bool]]] = field(default_factory=dict)
    """By node: when it was asked, when it answered (monotonic), and whether it accepts writes."""
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Watch]:
        threads = [threading.Thread(target=self._ask, args=(at,), daemon=True) for at in range(len(self.nodes))]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._done.set()
            for thread in threads:
                thread.join(20)

    def _ask(self, at: int) -> None:
        answers = self.seen.setdefault(at, [])
        while not self._done.is_set():
            with contextlib.suppress(pymysql.MySQLError, OSError), connect(self.nodes[at]) as connection:
                while not self._done.is_set():
                    asked = time.monotonic()
                    with connection.cursor() as cursor:
                        cursor.execute("select @@read_only")
                        (read_only,) = cursor.fetchone() or (1,)
                    answers.append((asked, time.monotonic(), not read_only))
                    time.sleep(_PAUSE_S)
            time.sleep(_PAUSE_S)

    def writable(self, at: int) -> list[tuple[float, float]]:
        """The times, each from an answer to a question, through which that node certainly accepted writes."""
        spans: list[tuple[float, float]] = []
        since, last = None, 0.0
        for asked, answered, accepts in self.seen.get(at, []):
            if since is not None and not (accepts and asked - last < 1):
                since = None
            if accepts and since is not None:
                spans[-1] = (since, asked)
            elif accepts:
                since = answered
                spans.append((answered, answered))
            last = answered
        return spans

    def overlapping_primaries(self) -> list[tuple[int, int]]:
        """Pairs of nodes that accepted writes at one time."""
        return [
            (one, other)
            for one, other in itertools.combinations(self.seen, 2)
            if any(max(a, c) < min(b, d) for a, b in self.writable(one) for c, d in self.writable(other))
        ]
