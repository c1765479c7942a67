"""A member of a Galera group that the others don't wait for, as long as its data are copied.

Reading all of its data slows a member down, and then the group slows down for it: all writes wait. Desynchronised, it
falls behind instead, and catches up afterwards. Who has it so holds a lock, which ends with him whatever kills him; the
keeper sets back what nobody holds any more.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .mysql_wire import Connection, ServerRefused, ServerSilent

_LIMIT = 60.0
"""Seconds for the change: what the member is just applying comes first."""


@contextmanager
def apart(socket: str, lock: Path) -> Iterator[None]:
    """Alone it stays as it is: there is nobody who could wait."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        alone = _alone(socket)
        if not alone:
            _set(socket, "on")
        try:
            yield
        finally:
            if not alone:
                with suppress(ServerSilent, ServerRefused):  # the keeper tries again
                    _set(socket, "off")


def abandoned(lock: Path) -> bool:
    """Whether nobody holds it. Of who only tries, the one who wants it waits for a moment."""
    with lock.open("w") as tried:
        try:
            fcntl.flock(tried, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def _alone(socket: str) -> bool:
    with Connection(socket, "mysql", _LIMIT) as server:
        (size,) = server.query("show global status like 'wsrep_cluster_size'")
    return int(size["Value"]) < 2


def _set(socket: str, switch: str) -> None:
    with Connection(socket, "mysql", _LIMIT) as server:
        server.query(f"set global wsrep_desync = {switch}")
