"""Writes numbered rows to MariaDB and remembers which were acknowledged, whichever node accepts them."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pymysql

TABLE = "numbered"
_PAUSE_S = 0.01
_ANSWER_S = 3

Parameters = dict[str, Any]
"""PyMySQL's, of one node."""


def connect(parameters: Parameters) -> pymysql.Connection[Any]:
    return pymysql.connect(
        **{"autocommit": True, "connect_timeout": 2, "read_timeout": _ANSWER_S, "write_timeout": _ANSWER_S} | parameters
    )


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
    _next: int = 1
    _done: threading.Event = field(default_factory=threading.Event)

    def make_table(self) -> None:
        """On whichever node is the primary."""
        for node in self.nodes:
            with contextlib.suppress(pymysql.MySQLError):
                select(node, f"create or replace table {TABLE} (number bigint primary key, node int)")
                return
        raise AssertionError("no node accepts writes")

    @contextmanager
    def running(self) -> Iterator[Writer]:
        thread = threading.Thread(target=self._write, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._done.set()
            thread.join(20)

    def _write(self) -> None:
        at = 0
        while not self._done.is_set():
            try:
                with connect(self.nodes[at]) as connection, connection.cursor() as cursor:
                    while not self._done.is_set():
                        number, self._next = self._next, self._next + 1
                        cursor.execute(f"insert into {TABLE} values (%s, %s)", (number, at))
                        self.acknowledged.append((number, time.monotonic(), at))
                        time.sleep(_PAUSE_S)
            except (pymysql.MySQLError, OSError):
                at = (at + 1) % len(self.nodes)
                time.sleep(_PAUSE_S)

    def lost(self, node: Parameters) -> list[int]:
        """Acknowledged numbers that are not on that node."""
        there = {row[0] for row in select(node, f"select number from {TABLE}")}
        return [number for number, _, _ in self.acknowledged if number not in there]

    def gap(self) -> float:
        """The longest time between two acknowledgements, in seconds."""
        times = [at for _, at, _ in self.acknowledged]
        return max((later - earlier for earlier, later in itertools.pairwise(times)), default=0.0)

    def since(self, moment: float) -> int:
        """How many were acknowledged after that moment."""
        return sum(1 for _, at, _ in self.acknowledged if at > moment)
