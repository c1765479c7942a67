"""What the demonstration needs of a database's client library, whichever it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from ccx.demo.ledger import Primary

Parameters = Mapping[str, Any]
"""The library's own, of one node or name, the password among them."""


class Broken(Exception):
    """A server, or the connection to it, failed, or it accepts no writes. Another may, or the same one later."""


class Line(Protocol):
    """A connection on which each statement is committed by itself."""

    async def execute(self, statement: str, values: Sequence[Any] = ()) -> Sequence[tuple[Any, ...]]:
        """Its rows. Raises Broken; an error of the library's own for what trying again can't cure."""

    async def primary(self) -> Primary:
        """Who the server is, and from where in the history it is the primary. Raises as :meth:`execute`."""

    async def close(self) -> None: ...

    def hang_up(self) -> None:
        """Ends it though its server is stuck: whoever waits for an answer gets Broken at once."""


@dataclass(frozen=True)
class Dropped:
    """A table that is gone."""

    when: str
    """In words."""
    before: tuple[str, str]
    """The option, and its value, with which a restore has everything up to there."""


@dataclass(frozen=True)
class Copies:
    """Where a write is, besides on the primary, before it is acknowledged."""

    number: int
    said: str


class Client(Protocol):
    """One library. Sessions are DB-API's."""

    address: str
    """The parameter that says where a host is, so that no resolver is asked."""
    timestamps: str
    """The type, with its default, of a column that holds when a row was written."""
    errors: tuple[type[Exception], ...]
    """All that the library raises."""
    no_table: type[Exception]
    """What it raises, among others, where a table is not there."""

    def parameters(self, told: Parameters, host: str, address: str) -> Parameters:
        """Of that host at that address, from what ``ccx datastore url`` tells."""

    async def open(self, node: Parameters) -> Line:
        """A connection to a node that accepts writes. Raises Broken with the reason; must bear to be cancelled."""

    def connect(self, parameters: Parameters) -> AbstractContextManager[Any]:
        """A session, closed at its end, what it did committed. Raises one of ``errors``."""

    def is_replica(self, parameters: Parameters) -> bool: ...

    def copies(self, parameters: Parameters) -> Copies:
        """Asked of the primary."""

    def drop(self, parameters: Parameters, table: str) -> Dropped:
        """Drops the table. Whoever writes to it waits, and then finds it gone."""


def select(session: Any, statement: str) -> list[tuple[Any, ...]]:
    """All rows, on a session of :meth:`Client.connect`, or any other of DB-API's."""
    with session.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())
